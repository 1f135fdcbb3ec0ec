//! Element-wise operations and the reductions that end them, in one loop over tiles that stay in the first cache.
//!
//! A tile goes through all operations before the next one is touched: values that nobody else reads never reach memory. The
//! range of the outermost axis is cut in tasks by size alone; sums that several tasks contribute to meet in the order of the
//! tasks, so results do not depend on the number of threads.

mod tiles;

use super::memory::{Memory, Place, Room};
use super::view::Strides;
use crate::types::Shape;
use quadric_linalg::elementwise::{Binary, Unary, larger};
use quadric_linalg::{Aligned, Scalar};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Entries of a tile: as many as keep all that a loop touches within the nearest cache, about. Each operation of a tile costs
/// something on its own, so they are not shorter than the last.
const LENGTHS: [usize; 2] = [4096, 2048];
const SHORTEST: usize = 1024;
/// Bytes of that cache.
const NEAR: usize = 3 << 14;
/// Entries per task, about.
const TASK: usize = 1 << 15;
/// Tasks, at most.
const TASKS: usize = 16;

/// An argument of an operation in a loop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// What an earlier operation of the loop gave.
    Register(usize),
    /// An array from memory.
    Load(usize),
    /// A constant.
    Number(f64),
}

/// An operation of a loop. Its result is the register with its own number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    Copy(Source),
    Map(Unary, Source),
    Zip(Binary, Source, Source),
    Select(Source, Source, Source),
}

impl Code {
    fn sources(&self) -> SmallVec<[Source; 3]> {
        match *self {
            Self::Copy(a) | Self::Map(_, a) => SmallVec::from_slice(&[a]),
            Self::Zip(_, a, b) => SmallVec::from_slice(&[a, b]),
            Self::Select(mask, a, b) => SmallVec::from_slice(&[mask, a, b]),
        }
    }
}

/// An array that a loop reads.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) place: Place,
    pub(super) offset: isize,
    pub(super) strides: Strides,
}

impl Load {
    /// True if all entries are the same one.
    fn is_number(&self) -> bool {
        self.strides.iter().all(|&s| s == 0)
    }
}

/// How the entries of a tile are found in an array that a loop reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    /// All are the same one.
    Number,
    /// The array has them in the order of the loop.
    Dense,
    /// They are neighbours, after a jump to the first.
    Row,
    /// They are copied to a scratch tile: once, if they are the same for all tiles.
    Gathered { tile: usize, once: bool },
}

/// Where the result of an operation goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    /// To a destination of the loop.
    Store(usize),
    /// To a scratch tile.
    Tile(usize),
}

/// How a reduction combines entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reduction {
    Sum,
    Max,
}

/// A reduction at the end of a loop.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) source: Source,
    pub(super) reduction: Reduction,
    pub(super) place: Place,
    /// Steps in the result; 0 along reduced axes.
    pub(super) strides: Strides,
    pub(super) len: usize,
}

/// A loop.
#[derive(Debug)]
pub(super) struct Loop<T> {
    /// The collapsed axes.
    pub(super) dims: Shape,
    pub(super) code: Vec<Code>,
    pub(super) loads: Vec<Load>,
    /// Registers that are kept, in row-major order.
    pub(super) stores: Vec<(usize, Place)>,
    pub(super) sinks: Vec<Sink>,
    /// Lengths of the scratch of a task: tiles of registers, loads that have to be gathered, and results of reductions.
    scratch: Vec<usize>,
    scalar: PhantomData<T>,
    /// For every register.
    homes: Vec<Home>,
    /// For every load.
    reaches: Vec<Reach>,
    /// Length of a tile.
    tile: usize,
    /// Entries per step of the outermost axis.
    row: usize,
    tasks: usize,
}

/// The part of a destination that a task writes.
type Part<'a, T> = &'a mut [T];

struct Task<'a, T> {
    range: Range<usize>,
    stores: SmallVec<[Part<'a, T>; 4]>,
    /// Results of reductions that only this task contributes to.
    own: SmallVec<[Part<'a, T>; 2]>,
    scratch: &'a mut [Aligned<T>],
}

impl<T: Scalar> Loop<T> {
    pub(super) fn new(
        dims: Shape,
        code: Vec<Code>,
        loads: Vec<Load>,
        stores: Vec<(usize, Place)>,
        sinks: Vec<Sink>,
    ) -> Self {
        let total: usize = dims.iter().product();
        let row = total / dims[0].max(1);
        let tasks = (total / TASK).clamp(1, TASKS).min(dims[0].max(1));
        let mut this = Self {
            dims,
            code,
            loads,
            stores,
            sinks,
            scratch: Vec::new(),
            scalar: PhantomData,
            homes: Vec::new(),
            reaches: Vec::new(),
            tile: 1,
            row,
            tasks,
        };
        let mut tiles = this.assign_tiles();
        this.tile = this.length(tiles);
        for load in &this.loads {
            let reach = this.reach(load, tiles);
            tiles += usize::from(matches!(reach, Reach::Gathered { .. }));
            this.reaches.push(reach);
        }
        let shared = this
            .sinks
            .iter()
            .map(|s| if this.is_shared(s) { s.len } else { 0 });
        let shared: usize = shared.sum();
        let needs = std::iter::repeat_n(this.tile, tiles);
        this.scratch = needs.chain([shared]).collect();
        this
    }

    /// Length of the tiles, with as many of them for registers: whole rows of the innermost axis, or pieces of one.
    fn length(&self, registers: usize) -> usize {
        let loads = self.loads.iter().filter(|l| !l.is_number()).count();
        let arrays = registers + loads + self.stores.len();
        let fits = NEAR / size_of::<T>() / arrays.max(1);
        let most = LENGTHS.into_iter().find(|&n| n <= fits).unwrap_or(SHORTEST);
        let inner = *self.dims.last().expect("at least one axis");
        let length = if inner >= most || self.dims.len() == 1 {
            most.min(inner)
        } else {
            most / inner.max(1) * inner
        };
        length.max(1)
    }

    /// Gives a tile to every register that is not kept; those that are not needed at the same time share one, so that all of
    /// them stay in the first cache. Returns the number of tiles.
    fn assign_tiles(&mut self) -> usize {
        let mut last = vec![0; self.code.len()];
        let mut note = |source: &Source, at: usize| {
            if let Source::Register(r) = *source {
                last[r] = at;
            }
        };
        for (at, code) in self.code.iter().enumerate() {
            code.sources().iter().for_each(|s| note(s, at));
        }
        self.sinks
            .iter()
            .for_each(|s| note(&s.source, self.code.len()));
        let (mut free, mut count) = (Vec::new(), 0);
        for (at, code) in self.code.iter().enumerate() {
            let store = self.stores.iter().position(|s| s.0 == at);
            self.homes.push(match store {
                Some(s) => Home::Store(s),
                None => Home::Tile(free.pop().unwrap_or_else(|| {
                    count += 1;
                    count - 1
                })),
            });
            for source in code.sources() {
                if let Source::Register(r) = source
                    && let Home::Tile(tile) = self.homes[r]
                    && last[r] == at
                    && !free.contains(&tile)
                {
                    free.push(tile);
                }
            }
        }
        count
    }

    /// Makes lengths long enough for the scratch of all tasks.
    pub(super) fn note_tiles(&self, lens: &mut Vec<usize>) {
        let each = self.scratch.len();
        lens.resize(lens.len().max(self.tasks * each), 0);
        for (i, len) in lens[..self.tasks * each].iter_mut().enumerate() {
            *len = (*len).max(self.scratch[i % each]);
        }
    }

    /// How tiles are found in an array; a scratch tile is free for them.
    fn reach(&self, load: &Load, tile: usize) -> Reach {
        let (strides, last) = (&load.strides[..], self.dims.len() - 1);
        // Tiles within one row are contiguous in more arrays than those that span axes.
        let (spans, whole) = (self.tile > self.dims[last], self.tile >= self.dims[last]);
        let neighbours = strides[last] == 1 || self.dims[last] == 1;
        if load.is_number() {
            Reach::Number
        } else if strides == &crate::types::row_major(&self.dims)[..] {
            Reach::Dense
        } else if neighbours && !spans {
            Reach::Row
        } else {
            // Where a tile is whole rows and only the innermost axis matters, all are alike.
            let once = whole && strides[..last].iter().all(|&s| s == 0);
            Reach::Gathered { tile, once }
        }
    }

    /// True if several tasks contribute to the same entries.
    fn is_shared(&self, sink: &Sink) -> bool {
        self.tasks > 1 && sink.strides[0] == 0
    }

    pub(super) fn run(&self, memory: &mut Memory<'_, T>) {
        let mut tiles = std::mem::take(memory.tiles);
        let scratch = &mut tiles[..self.tasks * self.scratch.len()];
        let mut rooms: SmallVec<[Room<'_, T>; 4]> =
            self.stores.iter().map(|s| memory.take(s.1)).collect();
        let mut results: SmallVec<[Room<'_, T>; 2]> =
            self.sinks.iter().map(|s| memory.take(s.place)).collect();
        for (sink, room) in self.sinks.iter().zip(&mut results) {
            room.floats().fill(start(sink.reduction));
        }
        let task = Task {
            range: 0..self.dims[0],
            stores: rooms.iter_mut().map(Room::floats).collect(),
            own: self
                .sinks
                .iter()
                .zip(&mut results)
                .filter(|(s, _)| !self.is_shared(s))
                .map(|(_, r)| r.floats())
                .collect(),
            scratch,
        };
        let shared = &*memory;
        self.fork(self.tasks, task, shared);
        self.combine(scratch, &mut results);
        for (s, room) in self.stores.iter().zip(rooms) {
            memory.put(s.1, room);
        }
        for (s, room) in self.sinks.iter().zip(results) {
            memory.put(s.place, room);
        }
        *memory.tiles = tiles;
    }

    /// Runs a number of tasks in parallel; the cuts depend on the sizes only.
    fn fork(&self, tasks: usize, task: Task<'_, T>, memory: &Memory<'_, T>) {
        if tasks <= 1 {
            return self.work(task, memory);
        }
        let left = tasks / 2;
        let rows = task.range.len() * left / tasks;
        let middle = task.range.start + rows;
        let (mut a, mut b) = (SmallVec::new(), SmallVec::new());
        for part in task.stores {
            let (head, tail) = part.split_at_mut(rows * self.row);
            a.push(head);
            b.push(tail);
        }
        let (mut own_a, mut own_b) = (SmallVec::new(), SmallVec::new());
        let own = self.sinks.iter().filter(|s| !self.is_shared(s));
        for (part, sink) in task.own.into_iter().zip(own) {
            let (head, tail) = part.split_at_mut(rows * sink.strides[0] as usize);
            own_a.push(head);
            own_b.push(tail);
        }
        let each = task.scratch.len() / tasks;
        let (scratch_a, scratch_b) = task.scratch.split_at_mut(each * left);
        let head = Task {
            range: task.range.start..middle,
            stores: a,
            own: own_a,
            scratch: scratch_a,
        };
        let tail = Task {
            range: middle..task.range.end,
            stores: b,
            own: own_b,
            scratch: scratch_b,
        };
        rayon::join(
            || self.fork(left, head, memory),
            || self.fork(tasks - left, tail, memory),
        );
    }

    /// Combines what the tasks left of shared results, in their order.
    fn combine(&self, scratch: &[Aligned<T>], results: &mut [Room<'_, T>]) {
        let each = scratch.len() / self.tasks;
        let mut from = 0;
        for (sink, room) in self.sinks.iter().zip(results) {
            if !self.is_shared(sink) {
                continue;
            }
            for (i, r) in room.floats().iter_mut().enumerate() {
                let parts = (0..self.tasks).map(|t| scratch[(t + 1) * each - 1][from + i]);
                *r = match sink.reduction {
                    Reduction::Sum => T::of(parts.map(|p| p.to_f64()).sum()),
                    Reduction::Max => parts.fold(*r, larger),
                };
            }
            from += sink.len;
        }
    }
}

fn start<T: Scalar>(reduction: Reduction) -> T {
    T::of(match reduction {
        Reduction::Sum => 0.0,
        Reduction::Max => f64::NEG_INFINITY,
    })
}
