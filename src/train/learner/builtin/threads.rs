//! Work on several threads whose outcome does not depend on how many there are.

use std::sync::mpsc;

use crate::table::Round;

/// Does all of `work` on threads that wait for nothing else, whose [`each`] then costs a microsecond; the calling thread
/// hears of the progress.
pub(crate) fn among<T: Send>(
    threads: usize,
    progress: &mut dyn FnMut(&Round),
    work: impl FnOnce(&mut dyn FnMut(&Round)) -> T + Send,
) -> T {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build() else {
        return work(progress);
    };
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        // A caller that is gone does not want to hear.
        let each = move |round: &Round| drop(tell.send(round.clone()));
        let worker = scope.spawn(move || pool.install(move || work(&mut { each })));
        told.iter().for_each(|round| progress(&round));
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Parts of the work that are each thread's share: one that is done early takes from another's.
const SHARES: usize = 4;

/// Calls `work` with every item. Items are independent, so that who does which changes nothing.
pub(crate) fn each<T: Send>(threads: usize, items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let share = items.len().div_ceil(threads.max(1) * SHARES).max(1);
    if threads <= 1 || items.len() <= share {
        return items.iter_mut().for_each(work);
    }
    let work = &work;
    // A tree asks hundreds of times: a thread that waits is there sooner than one that has to be made.
    rayon::scope(|scope| {
        let mut parts = items.chunks_mut(share);
        let own = parts.next();
        for part in parts {
            scope.spawn(move |_| part.iter_mut().for_each(work));
        }
        own.into_iter().flatten().for_each(work);
    });
}
