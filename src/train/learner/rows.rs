//! Rows as the libraries want them: checked, and in pages that are asked for.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use crate::table::{Batch, Part, Rows, Task};
use sidegate::native::xgboost::{Page, Pages};

/// Values of a page: 16 MiB. Larger pages bring bins nearer to what all rows at once would give.
const PAGE_VALUES: usize = 4 << 20;
/// Ends a scan whose rest nobody wants.
const UNWANTED: &str = "no more rows are wanted";

/// Checks what is to be predicted; `first` is the number of the batch's first row.
pub(super) fn check(task: Task, first: usize, batch: &Batch<'_>) -> Result<(), String> {
    let classes = match task {
        Task::Regression => None,
        Task::Binary => Some(2),
        Task::Multiclass { classes } => Some(classes),
    };
    let fits = |target: f32| match classes {
        None => target.is_finite(),
        Some(classes) => target >= 0.0 && target.fract() == 0.0 && target < classes as f32,
    };
    if let Some(at) = batch.target.iter().position(|target| !fits(*target)) {
        let (row, target) = (first + at, batch.target.get(at).copied().unwrap_or(f32::NAN));
        return Err(match classes {
            _ if target.is_nan() => format!("row {row} has no target; rows without one cannot be trained on"),
            None => format!("row {row} has the target {target}, which is no finite number"),
            Some(classes) => format!("row {row} has the target {target}, which is no class of 0..{classes}"),
        });
    }
    match batch
        .weight
        .and_then(|weights| weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())))
    {
        Some(at) => Err(format!("row {} has a weight that is negative or no finite number", first + at)),
        None => Ok(()),
    }
}

/// Lets `work` ask for the pages of a part. The rows are scanned on a thread beside it, a page ahead.
pub(super) fn with_pages<R>(
    rows: &dyn Rows,
    part: Part,
    task: Task,
    work: impl FnOnce(&mut dyn Pages) -> R,
) -> R {
    std::thread::scope(|scope| work(&mut Stream { scope, rows, part, task, pages: None }))
}

struct Stream<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    rows: &'env dyn Rows,
    part: Part,
    task: Task,
    pages: Option<Receiver<Result<Page, String>>>,
}

impl Pages for Stream<'_, '_> {
    fn rewind(&mut self) {
        // The scan that feeds it ends with the next page.
        self.pages = None;
    }

    fn next(&mut self) -> Result<Option<Page>, String> {
        let (rows, part, task) = (self.rows, self.part, self.task);
        let pages = self.pages.get_or_insert_with(|| {
            let (to, from) = sync_channel(0);
            self.scope.spawn(move || produce(rows, part, task, &to));
            from
        });
        pages.recv().ok().transpose()
    }
}

fn produce(rows: &dyn Rows, part: Part, task: Task, to: &SyncSender<Result<Page, String>>) {
    let (mut page, mut seen) = (Page::default(), 0);
    let scanned = rows.scan(part, &mut |batch| {
        check(task, seen, &batch)?;
        seen += batch.target.len();
        extend(&mut page, &batch)?;
        if page.values.len() >= PAGE_VALUES {
            to.send(Ok(std::mem::take(&mut page))).map_err(|_| UNWANTED.to_owned())?;
        }
        Ok(())
    });
    let last = match scanned {
        Ok(()) if page.target.is_empty() => return,
        Ok(()) => Ok(page),
        Err(error) => Err(error),
    };
    // Nobody waits for it after a rewind.
    drop(to.send(last));
}

fn extend(page: &mut Page, batch: &Batch<'_>) -> Result<(), String> {
    if !page.target.is_empty() && page.weight.is_some() != batch.weight.is_some() {
        return Err("some rows have weights and others have none".to_owned());
    }
    page.values.extend_from_slice(batch.values);
    page.target.extend_from_slice(batch.target);
    if let Some(weight) = batch.weight {
        page.weight.get_or_insert_default().extend_from_slice(weight);
    }
    Ok(())
}
