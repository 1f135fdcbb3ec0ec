//! The tiles of a task, one after another.

use super::{Code, Home, Load, Loop, Part, Reach, Reduction, Sink, Source, Task, start};
use crate::exec::memory::Memory;
use quadric_linalg::elementwise::{self, Argument, larger};
use quadric_linalg::{Aligned, Scalar};
use smallvec::SmallVec;

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

impl<T: Scalar> Loop<T> {
    /// All tiles of a task.
    pub(super) fn work(&self, mut task: Task<'_, T>, memory: &Memory<'_, T>) {
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
        for (load, reach) in self.loads.iter().zip(&self.reaches) {
            if let Reach::Gathered { tile, once } = *reach
                && (fresh || !once)
            {
                let data = memory.floats(load.place);
                self.gather_tile(load, here, data, &mut tiles[tile][..here.len]);
            }
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
        let from = here.at - here.first;
        for (code, home) in self.code.iter().zip(&self.homes) {
            // Taken out while it is written; the operation reads earlier registers only.
            let (mut tile, mut part): (Aligned<T>, Part<'_, T>) = (Aligned::default(), &mut []);
            let out = match *home {
                Home::Store(s) => {
                    part = std::mem::take(&mut stores[s]);
                    &mut part[from..from + here.len]
                }
                Home::Tile(t) => {
                    tile = std::mem::take(&mut tiles[t]);
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
            match *home {
                Home::Store(s) => stores[s] = part,
                Home::Tile(t) => tiles[t] = tile,
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
            Source::Register(r) => match self.homes[r] {
                Home::Store(s) => {
                    let from = here.at - here.first;
                    Argument::Each(&stores[s][from..from + here.len])
                }
                Home::Tile(t) => Argument::Each(&tiles[t][..here.len]),
            },
            Source::Load(i) => {
                let load = &self.loads[i];
                let position = match self.reaches[i] {
                    Reach::Gathered { tile, .. } => {
                        return Argument::Each(&tiles[tile][..here.len]);
                    }
                    Reach::Number => {
                        return Argument::All(memory.floats(load.place)[load.offset as usize]);
                    }
                    Reach::Dense => here.at as isize,
                    Reach::Row => self.position(&load.strides, here.at),
                };
                let from = (load.offset + position) as usize;
                Argument::Each(&memory.floats(load.place)[from..from + here.len])
            }
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
}
