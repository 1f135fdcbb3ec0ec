//! A scan: the plan of its body, run step after step on slices of its arguments.
//!
//! Where the body treats rows alike ([`Divisible`]), parts of the rows go through all steps on their own. How many parts there
//! are depends on sizes only, and sums of theirs are added in order.

use super::memory::{Memory, Place, Room};
use super::{Plan, lower};
use crate::array::Data;
use crate::ops::Scan;
use crate::transform::{Again, Along, Divisible};
use quadric_linalg::{Error, Scalar};
use smallvec::SmallVec;
use std::ops::Range;

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
}

/// Some rows, over all steps.
struct Part<T> {
    rows: Range<usize>,
    plan: Plan<T>,
    /// What one step gives the next: of each pair one is read while the other is written.
    carries: Vec<[Vec<T>; 2]>,
    /// What one step adds to the sums, and the sums.
    terms: Vec<Vec<T>>,
    sums: Vec<Vec<T>>,
}

/// The part of every slice of every stack that one part of the rows makes: stack after stack, step after step.
type Pieces<'a, T> = Vec<&'a mut [T]>;

/// A slice of a stack.
fn slice<T>(data: Data<'_, T>, range: Range<usize>) -> Data<'_, T> {
    match data {
        Data::Float(v) => Data::Float(&v[range]),
        Data::Index(v) => Data::Index(&v[range]),
    }
}

/// How many parts rows are divided in.
fn parts(scan: &Scan, rows: usize) -> usize {
    let work = scan.body.flops() * scan.length as u64;
    let most = PARTS.min((work / WORK) as usize);
    (rows / ROWS).clamp(1, most.max(1))
}

impl<T: Scalar> Repeat<T> {
    pub(super) fn new(scan: &Scan, args: Vec<Place>, results: Vec<Place>) -> Self {
        let carried: Vec<bool> = (0..args.len())
            .map(|i| scan.carried().contains(&i))
            .collect();
        let summed: Vec<bool> = (0..results.len())
            .map(|i| scan.summed().contains(&i))
            .collect();
        let whole = Divisible::whole(args.len());
        let found = Divisible::new(&scan.body, &carried, &summed);
        let divisible = found.filter(|d| parts(scan, d.rows) > 1).unwrap_or(whole);
        let (rows, count) = (divisible.rows, parts(scan, divisible.rows));
        let cut = |i: usize| rows * i / count;
        let parts = (0..count).map(|i| {
            let rows = cut(i)..cut(i + 1);
            let body = divisible.part(&scan.body, rows.len());
            let zeros = |i: usize| vec![T::of(0.0); body.output_type(i).len()];
            Part {
                carries: (0..scan.carries).map(|i| [zeros(i), zeros(i)]).collect(),
                terms: scan.summed().map(zeros).collect(),
                sums: scan.summed().map(zeros).collect(),
                plan: lower::lower(&body, Again::OneByOne),
                rows,
            }
        });
        Self {
            parts: parts.collect(),
            divided: divisible.inputs.iter().map(|&a| a != Along::Same).collect(),
            rows,
            args,
            results,
            scan: scan.clone(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let part = |p: &Part<T>| {
            let carries = p.carries.iter().map(|c| c[0].len() + c[1].len());
            let sums = p.terms.iter().chain(&p.sums).map(Vec::len);
            p.plan.bytes() + (carries.sum::<usize>() + sums.sum::<usize>()) * size_of::<T>()
        };
        self.parts.iter().map(part).sum()
    }

    /// What was wrong in the steps of the last run.
    pub(super) fn fault(&mut self) -> Option<Error> {
        let faults = self.parts.iter_mut().map(|p| p.plan.fault());
        faults.fold(None, Option::or)
    }

    pub(super) fn run(&mut self, memory: &mut Memory<'_, T>) {
        let mut rooms: SmallVec<[Room<'_, T>; 8]> =
            self.results.iter().map(|&p| memory.take(p)).collect();
        let mut parts = std::mem::take(&mut self.parts);
        let mut pieces: Vec<Pieces<'_, T>> = parts.iter().map(|_| Vec::new()).collect();
        for room in &mut rooms[self.scan.stacked()] {
            let mut stack = room.floats();
            let n = stack.len() / self.scan.length;
            for _ in 0..self.scan.length {
                let mut step;
                (step, stack) = stack.split_at_mut(n);
                for (part, pieces) in parts.iter().zip(&mut pieces) {
                    let (piece, rest) = step.split_at_mut(n / self.rows * part.rows.len());
                    pieces.push(piece);
                    step = rest;
                }
            }
        }
        self.fork(&mut parts, &mut pieces, memory);
        drop(pieces);
        self.collect(&parts, &mut rooms);
        self.parts = parts;
        for (&place, room) in self.results.iter().zip(rooms) {
            memory.put(place, room);
        }
    }

    fn fork(&self, parts: &mut [Part<T>], pieces: &mut [Pieces<'_, T>], memory: &Memory<'_, T>) {
        if let ([part], [pieces]) = (&mut *parts, &mut *pieces) {
            return self.work(part, pieces, memory);
        }
        let middle = parts.len() / 2;
        let (a, b) = parts.split_at_mut(middle);
        let (c, d) = pieces.split_at_mut(middle);
        rayon::join(|| self.fork(a, c, memory), || self.fork(b, d, memory));
    }

    /// The rows of a part, among `n` entries that all rows have.
    fn range(&self, part: &Part<T>, n: usize) -> Range<usize> {
        let each = n / self.rows;
        each * part.rows.start..each * part.rows.end
    }

    /// All steps of a part.
    fn work(&self, part: &mut Part<T>, pieces: &mut Pieces<'_, T>, memory: &Memory<'_, T>) {
        let scan = &self.scan;
        for (c, i) in scan.carried().enumerate() {
            let from = memory.floats(self.args[i]);
            let range = self.range(part, from.len());
            part.carries[c][0].copy_from_slice(&from[range]);
        }
        part.sums.iter_mut().for_each(|s| s.fill(T::of(0.0)));
        for step in 0..scan.length {
            let at = scan.position(step);
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
            outputs.extend(part.terms.iter_mut().map(|t| &mut t[..]));
            outputs.extend(
                pieces
                    .iter_mut()
                    .skip(at)
                    .step_by(scan.length)
                    .map(|p| &mut **p),
            );
            part.plan.run(&inputs, &mut outputs, 0);
            drop(outputs);
            for (sum, term) in part.sums.iter_mut().zip(&part.terms) {
                sum.iter_mut().zip(term).for_each(|(s, &v)| *s += v);
            }
        }
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
            out.fill(T::of(0.0));
            for part in parts {
                out.iter_mut()
                    .zip(&part.sums[i])
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
