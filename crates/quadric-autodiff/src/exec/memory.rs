//! The memory of a run: what the caller gave, and buffers that were sized when the program was compiled.

use crate::array::{Array, Data};
use quadric_linalg::{Aligned, Scalar};
use smallvec::SmallVec;

/// Where the entries of a value are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Input number i, given by the caller.
    Input(usize),
    /// Buffer number i of the executable.
    Slot(usize),
    /// Output number i, given by the caller.
    Output(usize),
}

/// A buffer.
pub(super) enum Slot<T> {
    Float(Aligned<T>),
    Index(Vec<i32>),
}

impl<T: Scalar> From<Array<T>> for Slot<T> {
    fn from(array: Array<T>) -> Self {
        match array {
            Array::Float(v) => Self::Float(v[..].into()),
            Array::Index(v) => Self::Index(v),
        }
    }
}

/// A destination while it is written.
pub(super) enum Room<'a, T> {
    /// A buffer, and how much of it is used.
    Slot(Slot<T>, usize),
    Output(&'a mut [T]),
}

impl<T> Room<'_, T> {
    /// The real numbers.
    pub(super) fn floats(&mut self) -> &mut [T] {
        match self {
            Self::Slot(Slot::Float(v), n) => &mut v[..*n],
            Self::Output(v) => v,
            Self::Slot(Slot::Index(_), _) => unreachable!("a loop writes real numbers"),
        }
    }

    /// The indices; they live in slots.
    pub(super) fn indices(&mut self) -> &mut [i32] {
        match self {
            Self::Slot(Slot::Index(v), n) => &mut v[..*n],
            _ => unreachable!("outputs are real numbers"),
        }
    }
}

/// What a step may read and write.
pub(super) struct Memory<'a, T> {
    pub(super) inputs: &'a [Data<'a, T>],
    pub(super) slots: &'a mut [Slot<T>],
    /// How much of every slot is used.
    pub(super) lens: &'a [usize],
    /// Scratch of loops.
    pub(super) tiles: &'a mut Vec<Aligned<T>>,
    /// Whether products that are sums add to what is there.
    pub(super) adds: bool,
    pub(super) outputs: SmallVec<[&'a mut [T]; 8]>,
}

impl<'a, T> Memory<'a, T> {
    pub(super) fn read(&self, place: Place) -> Data<'_, T> {
        match place {
            Place::Input(i) => self.inputs[i],
            Place::Slot(i) => match &self.slots[i] {
                Slot::Float(v) => Data::Float(&v[..self.lens[i]]),
                Slot::Index(v) => Data::Index(&v[..self.lens[i]]),
            },
            Place::Output(i) => Data::Float(&*self.outputs[i]),
        }
    }

    pub(super) fn floats(&self, place: Place) -> &[T] {
        match self.read(place) {
            Data::Float(v) => v,
            Data::Index(_) => unreachable!("a loop reads real numbers"),
        }
    }

    pub(super) fn indices(&self, place: Place) -> &[i32] {
        match self.read(place) {
            Data::Index(v) => v,
            Data::Float(_) => unreachable!("type inference admits only indices here"),
        }
    }

    /// Takes a destination out, so that others can be read while it is written.
    pub(super) fn take(&mut self, place: Place) -> Room<'a, T> {
        match place {
            Place::Slot(i) => {
                let empty = Slot::Index(Vec::new());
                Room::Slot(std::mem::replace(&mut self.slots[i], empty), self.lens[i])
            }
            Place::Output(i) => Room::Output(std::mem::take(&mut self.outputs[i])),
            Place::Input(_) => unreachable!("inputs are never written"),
        }
    }

    /// Puts a destination back.
    pub(super) fn put(&mut self, place: Place, room: Room<'a, T>) {
        match (place, room) {
            (Place::Slot(i), Room::Slot(v, _)) => self.slots[i] = v,
            (Place::Output(i), Room::Output(v)) => self.outputs[i] = v,
            _ => unreachable!("a destination goes back to its place"),
        }
    }
}
