//! A scan: the plan of its body, run step after step on slices of its arguments.

use super::memory::{Memory, Place, Room};
use super::{Plan, lower};
use crate::array::Data;
use crate::ops::Scan;
use quadric_linalg::Scalar;
use smallvec::SmallVec;
use std::ops::Range;

pub(super) struct Repeat<T> {
    scan: Scan,
    plan: Plan<T>,
    /// Places of the arguments and results, as the scan orders them.
    args: Vec<Place>,
    results: Vec<Place>,
    /// What one step gives the next: of each pair one is read while the other is written.
    carries: Vec<[Vec<T>; 2]>,
    /// What one step adds to the sums.
    terms: Vec<Vec<T>>,
}

/// A slice of a stack.
fn slice<T>(data: Data<'_, T>, range: Range<usize>) -> Data<'_, T> {
    match data {
        Data::Float(v) => Data::Float(&v[range]),
        Data::Index(v) => Data::Index(&v[range]),
    }
}

impl<T: Scalar> Repeat<T> {
    pub(super) fn new(scan: &Scan, args: Vec<Place>, results: Vec<Place>) -> Self {
        let zeros = |i: usize| vec![T::of(0.0); scan.body.output_type(i).len()];
        Self {
            plan: lower::lower(&scan.body),
            args,
            results,
            carries: (0..scan.carries).map(|i| [zeros(i), zeros(i)]).collect(),
            terms: scan.summed().map(zeros).collect(),
            scan: scan.clone(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let carries = self.carries.iter().map(|c| c[0].len() + c[1].len());
        let values = carries.sum::<usize>() + self.terms.iter().map(Vec::len).sum::<usize>();
        self.plan.bytes() + values * size_of::<T>()
    }

    pub(super) fn run(&mut self, memory: &mut Memory<'_, T>) {
        let scan = &self.scan;
        let mut rooms: SmallVec<[Room<'_, T>; 8]> =
            self.results.iter().map(|&p| memory.take(p)).collect();
        for (carry, i) in self.carries.iter_mut().zip(scan.carried()) {
            carry[0].copy_from_slice(memory.floats(self.args[i]));
        }
        for i in scan.summed() {
            rooms[i].floats().fill(T::of(0.0));
        }
        for step in 0..scan.length {
            let at = scan.position(step);
            let inputs = self.args.iter().enumerate().map(|(i, &place)| {
                if scan.carried().contains(&i) {
                    return Data::Float(&[][..]);
                }
                let data = memory.read(place);
                if i < scan.consts {
                    return data;
                }
                let n = data.len() / scan.length;
                slice(data, at * n..(at + 1) * n)
            });
            let mut inputs: SmallVec<[Data<'_, T>; 16]> = inputs.collect();
            let mut outputs: SmallVec<[&mut [T]; 8]> = SmallVec::new();
            for (carry, i) in self.carries.iter_mut().zip(scan.carried()) {
                let [a, b] = carry;
                let (from, to) = if step % 2 == 0 { (a, b) } else { (b, a) };
                inputs[i] = Data::Float(from);
                outputs.push(to);
            }
            outputs.extend(self.terms.iter_mut().map(|t| &mut t[..]));
            for room in &mut rooms[scan.stacked()] {
                let stack = room.floats();
                let n = stack.len() / scan.length;
                outputs.push(&mut stack[at * n..(at + 1) * n]);
            }
            self.plan.run(&inputs, &mut outputs, 0);
            drop(outputs);
            for (term, i) in self.terms.iter().zip(scan.summed()) {
                for (s, &v) in rooms[i].floats().iter_mut().zip(term) {
                    *s += v;
                }
            }
        }
        for (carry, room) in self.carries.iter().zip(&mut rooms) {
            room.floats().copy_from_slice(&carry[scan.length % 2]);
        }
        for (&place, room) in self.results.iter().zip(rooms) {
            memory.put(place, room);
        }
    }
}

/// True for a scan of no steps, or one that gives indices: it is evaluated plainly.
pub(super) fn is_plain(scan: &Scan) -> bool {
    use crate::types::Kind;
    let outputs = (0..scan.body.outputs()).map(|i| scan.body.output_type(i).kind);
    scan.length == 0 || outputs.into_iter().any(|k| k == Kind::Index)
}
