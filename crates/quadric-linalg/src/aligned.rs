//! Memory that starts at a line of the cache: where it does not, every load of the widest registers takes two lines, and loops
//! over what is in the first cache take up to twice as long.

use crate::Scalar;
use std::ops::{Deref, DerefMut};

/// Bytes of a line.
const LINE: usize = 64;

/// Entries, the first of which is at the start of a line of the cache, wherever the buffer is moved.
pub struct Aligned<T> {
    memory: Vec<T>,
    start: usize,
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self {
            memory: Vec::new(),
            start: 0,
        }
    }
}

impl<T: Scalar> Aligned<T> {
    /// So many zeros.
    pub fn zeros(len: usize) -> Self {
        let spare = LINE / size_of::<T>();
        let mut memory = vec![T::of(0.0); len + spare];
        // As many as that if the address cannot be asked for.
        let start = memory.as_ptr().align_offset(LINE).min(spare);
        memory.truncate(start + len);
        Self { memory, start }
    }
}

impl<T: Scalar> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut own = Self::zeros(values.len());
        own.copy_from_slice(values);
        own
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.memory[self.start..]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar>() {
        let values: Vec<T> = (0..37).map(|i| T::of(f64::from(i))).collect();
        for n in [0, 1, 15, 16, 37] {
            let moved = [Aligned::from(&values[..n])];
            assert_eq!(moved[0][..], values[..n]);
            assert_eq!(moved[0].as_ptr() as usize % LINE, 0);
        }
        assert!(Aligned::<T>::default().is_empty());
    }

    #[test]
    fn entries_start_at_a_line_wherever_the_buffer_goes() {
        check::<f32>();
        check::<f64>();
    }
}
