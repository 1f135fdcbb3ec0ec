//! Element-wise operations and the reductions that end them, in one loop over tiles that stay in the first cache.
//!
//! A tile goes through all operations before the next one is touched: values that nobody else reads never reach memory. The
//! range of the outermost axis is cut in tasks by size alone; sums that several tasks contribute to meet in the order of the
//! tasks, so results do not depend on the number of threads.

use super::memory::{Memory, Place, Room};
use super::view::Strides;
use crate::types::Shape;
use quadric_linalg::elementwise::{self, Argument, Binary, Unary, larger};
use quadric_linalg::{Aligned, Scalar};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Entries of a tile.
const TILE: usize = 1024;
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
    /// For every register that is not kept the scratch tile that holds it.
    tiles: Vec<usize>,
    /// For every load the scratch tile that it is gathered to.
    gathers: Vec<Option<usize>>,
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
        let inner = *dims.last().expect("at least one axis");
        // Whole rows of the innermost axis, or pieces of one.
        let tile = if inner >= TILE || dims.len() == 1 {
            TILE.min(inner)
        } else {
            TILE / inner.max(1) * inner
        };
        let tasks = (total / TASK).clamp(1, TASKS).min(dims[0].max(1));
        let mut this = Self {
            dims,
            code,
            loads,
            stores,
            sinks,
            scratch: Vec::new(),
            scalar: PhantomData,
            tiles: Vec::new(),
            gathers: Vec::new(),
            tile: tile.max(1),
            row,
            tasks,
        };
        let mut tiles = this.assign_tiles();
        this.gathers = (0..this.loads.len())
            .map(|i| {
                let load = &this.loads[i];
                (!load.is_number() && !this.is_direct(&load.strides)).then(|| {
                    tiles += 1;
                    tiles - 1
                })
            })
            .collect();
        let shared = this
            .sinks
            .iter()
            .map(|s| if this.is_shared(s) { s.len } else { 0 });
        let shared: usize = shared.sum();
        let needs = std::iter::repeat_n(this.tile, tiles);
        this.scratch = needs.chain([shared]).collect();
        this
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
        let is_kept = |r: usize| self.stores.iter().any(|s| s.0 == r);
        let (mut free, mut count) = (Vec::new(), 0);
        self.tiles = vec![usize::MAX; self.code.len()];
        for (at, code) in self.code.iter().enumerate() {
            if !is_kept(at) {
                self.tiles[at] = free.pop().unwrap_or_else(|| {
                    count += 1;
                    count - 1
                });
            }
            let ending = code.sources().into_iter().filter_map(|s| match s {
                Source::Register(r) if last[r] == at && !is_kept(r) => Some(self.tiles[r]),
                _ => None,
            });
            for tile in ending {
                if !free.contains(&tile) {
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

    /// True if tiles are contiguous in an array with these steps.
    fn is_direct(&self, strides: &[isize]) -> bool {
        let last = self.dims.len() - 1;
        if strides[last] != 1 && self.dims[last] != 1 {
            return false;
        }
        // Tiles within one row need no more; others span axes.
        let spans = self.tile > self.dims[last];
        let expected = crate::types::row_major(&self.dims);
        !spans || strides == &expected[..]
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

    /// All tiles of a task.
    fn work(&self, mut task: Task<'_, T>, memory: &Memory<'_, T>) {
        let (tiles, shared) = task.scratch.split_at_mut(task.scratch.len() - 1);
        let mut shared = &mut shared[0][..];
        let mut results: SmallVec<[Part<'_, T>; 2]> = SmallVec::new();
        let mut own = task.own.into_iter();
        for sink in &self.sinks {
            if self.is_shared(sink) {
                let (head, tail) = shared.split_at_mut(sink.len);
                head.fill(start(sink.reduction));
                shared = tail;
                results.push(head);
            } else {
                results.push(own.next().expect("one for each"));
            }
        }
        let inner = *self.dims.last().expect("at least one axis");
        let (first, end) = (task.range.start * self.row, task.range.end * self.row);
        let mut at = first;
        let mut fresh = true;
        while at < end {
            let room = if self.tile < inner {
                inner - at % inner
            } else {
                self.tile
            };
            let len = self.tile.min(room).min(end - at);
            let here = Here {
                at,
                len,
                first,
                task: task.range.start,
            };
            self.gather(here, fresh, tiles, memory);
            self.compute(here, tiles, &mut task.stores, memory);
            for (sink, result) in self.sinks.iter().zip(&mut results) {
                let values = self.value(sink.source, here, tiles, &task.stores, memory);
                self.reduce(sink, values, here, result);
            }
            fresh = false;
            at += len;
        }
    }

    /// Position in memory of an entry, given by its number in row-major order.
    fn position(&self, strides: &[isize], mut at: usize) -> isize {
        let mut position = 0;
        for (&n, &stride) in self.dims.iter().zip(strides).rev() {
            position += (at % n) as isize * stride;
            at /= n;
        }
        position
    }

    /// Position of entry number `at`, which starts a row, given that of the row before.
    fn next_row(&self, strides: &[isize], before: isize, at: usize) -> isize {
        match strides {
            &[outer, _] => before + outer,
            _ => self.position(strides, at),
        }
    }

    /// Copies what is not contiguous.
    fn gather(&self, here: Here, fresh: bool, tiles: &mut [Aligned<T>], memory: &Memory<'_, T>) {
        for (load, gather) in self.loads.iter().zip(&self.gathers) {
            let Some(tile) = *gather else { continue };
            // The same for every tile, if a tile is whole rows and only the innermost axis matters.
            let outer = &load.strides[..self.dims.len() - 1];
            let whole = self.tile >= self.dims[self.dims.len() - 1];
            if !fresh && whole && outer.iter().all(|&s| s == 0) {
                continue;
            }
            let data = memory.floats(load.place);
            let out = &mut tiles[tile][..here.len];
            self.gather_tile(load, here, data, out);
        }
    }

    fn gather_tile(&self, load: &Load, here: Here, data: &[T], out: &mut [T]) {
        let last = self.dims.len() - 1;
        let (inner, stride) = (self.dims[last], load.strides[last]);
        let mut done = 0;
        let mut position = self.position(&load.strides, here.at);
        while done < out.len() {
            let at = here.at + done;
            let run = (inner - at % inner).min(out.len() - done);
            let from = load.offset + position;
            let out = &mut out[done..done + run];
            match stride {
                0 => out.fill(data[from as usize]),
                1 => out.copy_from_slice(&data[from as usize..from as usize + run]),
                _ => {
                    for (i, o) in out.iter_mut().enumerate() {
                        *o = data[(from + i as isize * stride) as usize];
                    }
                }
            }
            done += run;
            position = self.next_row(&load.strides, position, at + run);
        }
    }

    fn compute(
        &self,
        here: Here,
        tiles: &mut [Aligned<T>],
        stores: &mut [Part<'_, T>],
        memory: &Memory<'_, T>,
    ) {
        for (number, code) in self.code.iter().enumerate() {
            let store = self.stores.iter().position(|s| s.0 == number);
            // Taken out while it is written; the operation reads earlier registers only.
            let (mut tile, mut part): (Aligned<T>, Part<'_, T>) = (Aligned::default(), &mut []);
            let out = match store {
                Some(s) => {
                    part = std::mem::take(&mut stores[s]);
                    let from = here.at - here.first;
                    &mut part[from..from + here.len]
                }
                None => {
                    tile = std::mem::take(&mut tiles[self.tiles[number]]);
                    &mut tile[..here.len]
                }
            };
            let value = |s| self.value(s, here, tiles, stores, memory);
            match *code {
                Code::Copy(a) => match value(a) {
                    Argument::Each(v) => out.copy_from_slice(v),
                    Argument::All(v) => out.fill(v),
                },
                Code::Map(f, a) => match value(a) {
                    Argument::Each(v) => elementwise::map(f, v, out),
                    Argument::All(v) => out.fill(T::of(f.apply(v.to_f64()))),
                },
                Code::Zip(f, a, b) => elementwise::zip(f, value(a), value(b), out),
                Code::Select(mask, a, b) => match value(mask) {
                    Argument::Each(m) => elementwise::select(m, value(a), value(b), out),
                    Argument::All(m) => {
                        let chosen = if m.to_f64() == 0.0 {
                            value(b)
                        } else {
                            value(a)
                        };
                        match chosen {
                            Argument::Each(v) => out.copy_from_slice(v),
                            Argument::All(v) => out.fill(v),
                        }
                    }
                },
            }
            match store {
                Some(s) => stores[s] = part,
                None => tiles[self.tiles[number]] = tile,
            }
        }
    }

    fn value<'v>(
        &self,
        source: Source,
        here: Here,
        tiles: &'v [Aligned<T>],
        stores: &'v [Part<'_, T>],
        memory: &'v Memory<'_, T>,
    ) -> Argument<'v, T> {
        match source {
            Source::Number(v) => Argument::All(T::of(v)),
            Source::Register(r) => match self.stores.iter().position(|s| s.0 == r) {
                Some(s) => {
                    let from = here.at - here.first;
                    Argument::Each(&stores[s][from..from + here.len])
                }
                None => Argument::Each(&tiles[self.tiles[r]][..here.len]),
            },
            Source::Load(i) if self.loads[i].is_number() => {
                let load = &self.loads[i];
                Argument::All(memory.floats(load.place)[load.offset as usize])
            }
            Source::Load(i) => match self.gathers[i] {
                Some(tile) => Argument::Each(&tiles[tile][..here.len]),
                None => {
                    let load = &self.loads[i];
                    let from = (load.offset + self.position(&load.strides, here.at)) as usize;
                    Argument::Each(&memory.floats(load.place)[from..from + here.len])
                }
            },
        }
    }

    fn reduce(&self, sink: &Sink, values: Argument<'_, T>, here: Here, result: &mut [T]) {
        let last = self.dims.len() - 1;
        let (inner, stride) = (self.dims[last], sink.strides[last]);
        let whole = here.at.is_multiple_of(inner) && here.len.is_multiple_of(inner);
        let rows_meet = sink.strides[..last].iter().all(|&s| s == 0);
        if let (Reduction::Sum, Argument::Each(v)) = (sink.reduction, values)
            && stride == 1
            && whole
            && rows_meet
        {
            return elementwise::add_rows(v, &mut result[..inner]);
        }
        // A task that owns its results has only these.
        let base = if self.is_shared(sink) {
            0
        } else {
            here.task as isize * sink.strides[0]
        };
        let mut done = 0;
        let mut position = self.position(&sink.strides, here.at);
        while done < here.len {
            let at = here.at + done;
            let run = (inner - at % inner).min(here.len - done);
            let to = (position - base) as usize;
            let part = match values {
                Argument::Each(v) => Argument::Each(&v[done..done + run]),
                all => all,
            };
            match stride {
                0 => {
                    let r = &mut result[to];
                    *r = match (sink.reduction, part) {
                        (Reduction::Sum, Argument::Each(v)) => {
                            T::of(r.to_f64() + elementwise::sum(v))
                        }
                        (Reduction::Sum, Argument::All(v)) => {
                            T::of(r.to_f64() + v.to_f64() * run as f64)
                        }
                        (Reduction::Max, Argument::Each(v)) => larger(*r, elementwise::max(v)),
                        (Reduction::Max, Argument::All(v)) => larger(*r, v),
                    };
                }
                _ => {
                    let out = &mut result[to..to + run];
                    match (sink.reduction, part) {
                        (Reduction::Sum, Argument::Each(v)) => elementwise::add_rows(v, out),
                        (Reduction::Sum, Argument::All(v)) => out.iter_mut().for_each(|o| *o += v),
                        (Reduction::Max, Argument::Each(v)) => {
                            out.iter_mut().zip(v).for_each(|(o, &v)| *o = larger(*o, v));
                        }
                        (Reduction::Max, Argument::All(v)) => {
                            out.iter_mut().for_each(|o| *o = larger(*o, v));
                        }
                    }
                }
            }
            done += run;
            position = self.next_row(&sink.strides, position, at + run);
        }
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

/// The tile at hand.
#[derive(Clone, Copy)]
struct Here {
    /// Number of the first entry.
    at: usize,
    len: usize,
    /// Number of the first entry of the task.
    first: usize,
    /// First index along the outermost axis of the task.
    task: usize,
}

fn start<T: Scalar>(reduction: Reduction) -> T {
    T::of(match reduction {
        Reduction::Sum => 0.0,
        Reduction::Max => f64::NEG_INFINITY,
    })
}
