//! Memory that will be read soon is asked for before it is needed.

#![expect(unsafe_code, reason = "the instruction takes an address")]

/// Asks the processor for the cache line of an element, and waits for nothing; an index beyond the end is no element.
/// On processors other than x86-64 it does nothing.
#[inline]
pub fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(value) = values.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and the instruction changes nothing that a program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}
