//! A scan: the plan of its body, run step after step on slices of its arguments.
//!
//! Where the body treats rows alike ([`Divisible`]), parts of the rows go through all steps on their own; where no step needs the
//! one before, some of the steps each. How many parts there are depends on sizes only, and sums of theirs are added in order.

use super::memory::{Memory, Place, Room};
use super::storage::Pool;
use super::{Plan, lower};
use crate::array::Data;
use crate::ops::Scan;
use crate::transform::{Again, Along, Divisible, stage};
use quadric_linalg::{Aligned, Error, Scalar};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of a part, at least.
const ROWS: usize = 16;
/// Parts, at most.
const PARTS: usize = 8;
/// Arithmetic of a part over all steps, at least.
const WORK: u64 = 1 << 20;

pub(super) struct Repeat<T> {
    scan: Scan,
    /// Places of the arguments and results, as the scan orders them.
    args: Vec<Place>,
    results: Vec<Place>,
    /// For every argument whether a part sees only its rows.
    divided: Vec<bool>,
    rows: usize,
    parts: Vec<Part<T>>,
    /// Plans for parts of as many rows: those that nobody runs at the moment, the last one that was run on top.
    idle: HashMap<usize, Mutex<Vec<Plan<T>>>>,
    divisible: Divisible,
    pool: Arc<Pool<T>>,
}

/// Some rows over all steps, or all rows over some of them.
struct Part<T> {
    rows: Range<usize>,
    steps: Range<usize>,
    /// What one step gives the next: of each pair one is read while the other is written.
    carries: Vec<[Aligned<T>; 2]>,
    /// What each step but the first adds to the sums; none for those that are products, which add themselves.
    terms: Vec<Option<Aligned<T>>>,
    /// The sums; those of the first part are where the results are.
    sums: Vec<Aligned<T>>,
}

/// What a part writes.
struct Targets<'a, T> {
    sums: Vec<&'a mut [T]>,
    /// Its part of every slice of every stack: stack after stack, step after step.
    pieces: Vec<&'a mut [T]>,
}

/// A slice of a stack.
fn slice<T>(data: Data<'_, T>, range: Range<usize>) -> Data<'_, T> {
    match data {
        Data::Float(v) => Data::Float(&v[range]),
        Data::Index(v) => Data::Index(&v[range]),
    }
}

/// How many parts a scan is divided in, at most.
fn most(scan: &Scan) -> usize {
    let work = scan.body.flops() * scan.length as u64;
    PARTS.min((work / WORK) as usize).max(1)
}

/// How many parts rows are divided in.
fn parts(scan: &Scan, rows: usize) -> usize {
    (rows / ROWS).clamp(1, most(scan))
}

/// What one step of some rows computes.
fn plan<T: Scalar>(
    scan: &Scan,
    divisible: &Divisible,
    rows: usize,
    pool: &Arc<Pool<T>>,
) -> Plan<T> {
    let staged = stage(&divisible.part(&scan.body, rows), Again::OneByOne);
    let mut plan = lower::lower(staged, pool.inner());
    plan.add_up(scan.summed());
    pool.note(&plan.needs());
    plan
}

impl<T: Scalar> Repeat<T> {
    pub(super) fn new(
        scan: &Scan,
        args: Vec<Place>,
        results: Vec<Place>,
        pool: &Arc<Pool<T>>,
    ) -> Self {
        let carried: Vec<bool> = (0..args.len())
            .map(|i| scan.carried().contains(&i))
            .collect();
        let summed: Vec<bool> = (0..results.len())
            .map(|i| scan.summed().contains(&i))
            .collect();
        let whole = Divisible::whole(args.len());
        let found = Divisible::new(&scan.body, &carried, &summed);
        let divisible = found.filter(|d| parts(scan, d.rows) > 1).unwrap_or(whole);
        let rows = divisible.rows;
        // Cuts of the rows, or of the steps.
        let by_steps = scan.carries == 0;
        let (count, all) = match by_steps {
            true => (most(scan).min(scan.length), scan.length),
            false => (parts(scan, rows), rows),
        };
        let mut idle: HashMap<usize, Vec<Plan<T>>> = HashMap::new();
        let parts = (0..count).map(|i| {
            let own = all * i / count..all * (i + 1) / count;
            let (rows, steps) = match by_steps {
                true => (0..rows, own),
                false => (own, 0..scan.length),
            };
            let plans = idle.entry(rows.len()).or_default();
            if plans.len() < rayon::current_num_threads() {
                plans.push(plan(scan, &divisible, rows.len(), pool));
            }
            let body = divisible.part(&scan.body, rows.len());
            let zeros = |i: usize| Aligned::zeros(body.output_type(i).len());
            let term = |i: usize| (steps.len() > 1 && !plans[0].adds(i)).then(|| zeros(i));
            Part {
                carries: (0..scan.carries).map(|i| [zeros(i), zeros(i)]).collect(),
                terms: scan.summed().map(term).collect(),
                sums: match i {
                    0 => Vec::new(),
                    _ => scan.summed().map(zeros).collect(),
                },
                rows,
                steps,
            }
        });
        let parts: Vec<Part<T>> = parts.collect();
        Self {
            parts,
            idle: idle.into_iter().map(|(n, p)| (n, Mutex::new(p))).collect(),
            divided: divisible.inputs.iter().map(|&a| a != Along::Same).collect(),
            divisible,
            pool: Arc::clone(pool),
            rows,
            args,
            results,
            scan: scan.clone(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let part = |p: &Part<T>| {
            let carries = p.carries.iter().map(|c| c[0].len() + c[1].len());
            let sums = p.terms.iter().flatten().chain(&p.sums).map(|v| v.len());
            (carries.sum::<usize>() + sums.sum::<usize>()) * size_of::<T>()
        };
        let plans = self.idle.values().flat_map(|idle| {
            let idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().map(Plan::bytes).collect::<Vec<_>>()
        });
        self.parts.iter().map(part).sum::<usize>() + plans.sum::<usize>()
    }

    /// What was wrong in the steps of the last run.
    pub(super) fn fault(&mut self) -> Option<Error> {
        let plans = self.idle.values_mut().flat_map(|idle| {
            let idle = idle.get_mut().unwrap_or_else(PoisonError::into_inner);
            idle.iter_mut().map(Plan::fault)
        });
        plans.fold(None, Option::or)
    }

    pub(super) fn run(&mut self, memory: &mut Memory<'_, T>) {
        let mut rooms: SmallVec<[Room<'_, T>; 8]> =
            self.results.iter().map(|&p| memory.take(p)).collect();
        let mut parts = std::mem::take(&mut self.parts);
        let mut own: Vec<Vec<Aligned<T>>> = parts
            .iter_mut()
            .map(|part| std::mem::take(&mut part.sums))
            .collect();
        let (summed, stacked) = (self.scan.summed(), self.scan.stacked());
        let (before, stacks) = rooms.split_at_mut(stacked.start);
        let first = before[summed].iter_mut().map(Room::floats).collect();
        let rests = own.iter_mut().skip(1);
        let rests = rests.map(|sums| sums.iter_mut().map(|sum| &mut sum[..]).collect());
        let mut targets: Vec<Targets<'_, T>> = std::iter::once(first)
            .chain(rests)
            .map(|sums| Targets {
                sums,
                pieces: Vec::new(),
            })
            .collect();
        for room in stacks {
            let mut stack = room.floats();
            let n = stack.len() / self.scan.length;
            for position in 0..self.scan.length {
                let mut step;
                (step, stack) = stack.split_at_mut(n);
                let takers = parts.iter().zip(&mut targets);
                for (part, targets) in takers.filter(|p| self.positions(p.0).contains(&position)) {
                    let (piece, rest) = step.split_at_mut(n / self.rows * part.rows.len());
                    targets.pieces.push(piece);
                    step = rest;
                }
            }
        }
        self.fork(&mut parts, &mut targets, memory);
        drop(targets);
        for (part, sums) in parts.iter_mut().zip(own) {
            part.sums = sums;
        }
        self.collect(&parts, &mut rooms);
        self.parts = parts;
        for (&place, room) in self.results.iter().zip(rooms) {
            memory.put(place, room);
        }
    }

    fn fork(&self, parts: &mut [Part<T>], targets: &mut [Targets<'_, T>], memory: &Memory<'_, T>) {
        if let ([part], [targets]) = (&mut *parts, &mut *targets) {
            return self.work(part, targets, memory);
        }
        let middle = parts.len() / 2;
        let (a, b) = parts.split_at_mut(middle);
        let (c, d) = targets.split_at_mut(middle);
        rayon::join(|| self.fork(a, c, memory), || self.fork(b, d, memory));
    }

    /// The rows of a part, among `n` entries that all rows have.
    fn range(&self, part: &Part<T>, n: usize) -> Range<usize> {
        let each = n / self.rows;
        each * part.rows.start..each * part.rows.end
    }

    /// The slices that a part works on.
    fn positions(&self, part: &Part<T>) -> Range<usize> {
        let Range { start, end } = part.steps;
        match self.scan.from_end {
            true => self.scan.length - end..self.scan.length - start,
            false => start..end,
        }
    }

    /// All steps of a part.
    fn work(&self, part: &mut Part<T>, targets: &mut Targets<'_, T>, memory: &Memory<'_, T>) {
        let scan = &self.scan;
        for (c, i) in scan.carried().enumerate() {
            let from = memory.floats(self.args[i]);
            let range = self.range(part, from.len());
            part.carries[c][0].copy_from_slice(&from[range]);
        }
        let first = self.positions(part).start;
        let idle = &self.idle[&part.rows.len()];
        let plan = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // More threads than when the program was compiled need more of them.
        let mut plan =
            plan.unwrap_or_else(|| self::plan(scan, &self.divisible, part.rows.len(), &self.pool));
        let mut storage = self.pool.take();
        plan.exchange(&mut storage);
        for step in part.steps.clone() {
            let (at, is_first) = (scan.position(step), step == part.steps.start);
            let inputs = self.args.iter().enumerate().map(|(i, &place)| {
                if scan.carried().contains(&i) {
                    return Data::Float(&[][..]);
                }
                let data = memory.read(place);
                let (first, n) = match i < scan.consts {
                    true => (0, data.len()),
                    false => (at * (data.len() / scan.length), data.len() / scan.length),
                };
                let range = if self.divided[i] {
                    self.range(part, n)
                } else {
                    0..n
                };
                slice(data, first + range.start..first + range.end)
            });
            let mut inputs: SmallVec<[Data<'_, T>; 16]> = inputs.collect();
            let mut outputs: SmallVec<[&mut [T]; 8]> = SmallVec::new();
            for (carry, i) in part.carries.iter_mut().zip(scan.carried()) {
                let [a, b] = carry;
                let (from, to) = if step % 2 == 0 { (a, b) } else { (b, a) };
                inputs[i] = Data::Float(from);
                outputs.push(to);
            }
            let sums = targets.sums.iter_mut().zip(&mut part.terms);
            outputs.extend(sums.map(|(sum, term)| match term {
                Some(term) if !is_first => &mut term[..],
                _ => &mut **sum,
            }));
            outputs.extend(
                targets
                    .pieces
                    .iter_mut()
                    .skip(at - first)
                    .step_by(part.steps.len())
                    .map(|p| &mut **p),
            );
            plan.run(&inputs, &mut outputs, 0, !is_first);
            drop(outputs);
            let sums = targets.sums.iter_mut().zip(&part.terms);
            for (sum, term) in sums.filter(|_| !is_first) {
                let pairs = sum.iter_mut().zip(term.iter().flat_map(|t| &t[..]));
                pairs.for_each(|(s, &v)| *s += v);
            }
        }
        plan.exchange(&mut storage);
        self.pool.put(storage);
        idle.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(plan);
    }

    /// Puts the last carries of the parts together, and adds their sums.
    fn collect(&self, parts: &[Part<T>], rooms: &mut [Room<'_, T>]) {
        for (i, room) in rooms[..self.scan.carries].iter_mut().enumerate() {
            let mut rest = room.floats();
            for part in parts {
                let last = &part.carries[i][self.scan.length % 2];
                let (own, tail) = rest.split_at_mut(last.len());
                own.copy_from_slice(last);
                rest = tail;
            }
        }
        for (i, room) in rooms[self.scan.summed()].iter_mut().enumerate() {
            let out = room.floats();
            for part in &parts[1..] {
                out.iter_mut()
                    .zip(&part.sums[i][..])
                    .for_each(|(s, &v)| *s += v);
            }
        }
    }
}

/// True for a scan of no steps, or one that gives indices: it is evaluated plainly.
pub(super) fn is_plain(scan: &Scan) -> bool {
    use crate::types::Kind;
    let outputs = (0..scan.body.outputs()).map(|i| scan.body.output_type(i).kind);
    scan.length == 0 || outputs.into_iter().any(|k| k == Kind::Index)
}
