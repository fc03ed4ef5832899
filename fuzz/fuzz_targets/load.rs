//! A model file that anybody made: loaded and asked, or refused, but never more than that.

#![no_main]

extern crate sidegate;

#[path = "../load.rs"]
mod load;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    load::load(bytes);
});
