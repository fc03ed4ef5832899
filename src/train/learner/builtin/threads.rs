//! Work on several threads whose outcome does not depend on how many there are.

/// Calls `work` with every item. Items are independent, so that who does which changes nothing.
pub(crate) fn each<T: Send>(threads: usize, items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    if items.len() <= share {
        return items.iter_mut().for_each(work);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = items.chunks_mut(share);
        let own = parts.next();
        for part in parts {
            scope.spawn(move || part.iter_mut().for_each(work));
        }
        own.into_iter().flatten().for_each(work);
    });
}
