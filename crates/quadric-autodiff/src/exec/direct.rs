//! Steps that write the entries of their results one by one from views of their arguments: rows by number, running sums,
//! comparisons of indices, random numbers.
//!
//! Results are cut in pieces by size alone, and every piece is written by one thread.

mod entries;
mod rows;
mod running;
mod window;

use super::memory::{Memory, Place};
use super::view::View;
use crate::ops::{NoRow, Op, Primitive};
use crate::types::Type;
use entries::{Draw, Entries};
use quadric_linalg::{Error, Scalar};
use rows::{Gather, Scatter};
use running::Running;
use std::ops::Range;
use window::Argmax;

/// Entries per task, about.
const TASK: usize = 1 << 14;

/// What such a step does.
enum Work {
    Gather(Gather),
    Scatter(Scatter),
    Running(Running),
    Entries(Entries),
    Draw(Draw),
    Argmax(Argmax),
}

/// A step.
pub(super) struct Direct {
    name: &'static str,
    work: Work,
    /// The first index of a run that named no row.
    fault: Option<NoRow>,
}

/// True for the operations that have such a step; comparisons are those of indices.
pub(super) fn is_direct(op: &Op) -> bool {
    matches!(
        op,
        Op::Gather(_)
            | Op::ScatterAdd(_)
            | Op::CumulativeSum(_)
            | Op::WindowArgmax(_)
            | Op::Binary(_)
            | Op::Real(_)
            | Op::Random(_)
    )
}

/// True if a view can be read as argument number `i` of an operation, whose first argument has `first` axes.
pub(super) fn fits(op: &Op, i: usize, first: usize, v: &View) -> bool {
    let rank = v.shape.len();
    // Each range of axes has to be equally spaced as one.
    let spaced = |parts: [Range<usize>; 2]| parts.into_iter().all(|axes| v.merged(axes).is_some());
    match (op, i) {
        (Op::Gather(p), 0) => spaced([p.batch..p.batch + 1, p.batch + 1..rank]),
        (Op::Gather(p), _) => spaced([p.batch..rank, rank..rank]),
        (Op::ScatterAdd(p), _) => spaced([p.batch..first, first..rank]),
        (Op::CumulativeSum(p), _) => spaced([0..p.axis, p.axis + 1..rank]),
        (Op::WindowArgmax(_), _) => spaced([0..rank - 3, rank..rank]),
        (Op::Random(_), _) => v.is_dense(),
        _ => true,
    }
}

impl Direct {
    /// The step of an operation that [`is_direct`], for views that [`fits`] admits.
    pub(super) fn new(op: &Op, args: &[(View, Place)], out: (Place, &Type)) -> Self {
        let (to, t) = out;
        let work = match op {
            Op::Gather(p) => Work::Gather(Gather::new(p, args, to)),
            Op::ScatterAdd(p) => Work::Scatter(Scatter::new(p, args, to)),
            Op::CumulativeSum(p) => Work::Running(Running::new(p, &args[0], to)),
            Op::WindowArgmax(p) => Work::Argmax(Argmax::new(p, &args[0], to, &t.shape)),
            Op::Binary(f) => Work::Entries(Entries::new(Some(*f), args, to)),
            Op::Real(_) => Work::Entries(Entries::new(None, args, to)),
            Op::Random(p) => Work::Draw(Draw::new(p, &args[0], to)),
            _ => unreachable!("{} has no direct step", op.name()),
        };
        Self {
            name: op.name(),
            work,
            fault: None,
        }
    }

    pub(super) fn run<T: Scalar>(&mut self, memory: &mut Memory<'_, T>) {
        let fault = match &mut self.work {
            Work::Gather(s) => s.run(memory),
            Work::Scatter(s) => s.run(memory),
            Work::Running(s) => return s.run(memory),
            Work::Entries(s) => return s.run(memory),
            Work::Draw(s) => return s.run(memory),
            Work::Argmax(s) => return s.run(memory),
        };
        self.fault = self.fault.or(fault);
    }

    /// What was wrong since the last call.
    pub(super) fn fault(&mut self) -> Option<Error> {
        self.fault.take().map(|f| f.error(self.name))
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.work {
            Work::Scatter(s) => s.bytes(),
            _ => 0,
        }
    }
}

/// Calls `f(first entry, entries)` for pieces of `out`, in parallel: units of `unit` entries, at most `most` of them in a piece.
fn by_pieces<E: Send>(
    out: &mut [E],
    unit: usize,
    most: usize,
    f: &(dyn Fn(usize, &mut [E]) + Sync),
) {
    if !out.is_empty() {
        fork(0, out, unit, most.max(1), f);
    }
}

fn fork<E: Send>(
    first: usize,
    out: &mut [E],
    unit: usize,
    most: usize,
    f: &(dyn Fn(usize, &mut [E]) + Sync),
) {
    let units = out.len() / unit;
    if units <= most {
        return f(first, out);
    }
    let middle = units / 2 * unit;
    let (head, tail) = out.split_at_mut(middle);
    rayon::join(
        || fork(first, head, unit, most, f),
        || fork(first + middle, tail, unit, most, f),
    );
}
