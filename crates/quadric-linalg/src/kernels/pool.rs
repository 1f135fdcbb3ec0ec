//! Buffers that live on between calls, so that a product inside an iteration does not allocate.

use crate::{Aligned, Scalar};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Idle memory the process keeps at most, in values of eight bytes (128 MiB).
const KEEP: usize = 1 << 24;
/// Idle buffers kept at most.
const KEEP_BUFFERS: usize = 256;

static IDLE: Mutex<Vec<Aligned<f64>>> = Mutex::new(Vec::new());

/// A buffer of `len` values with whatever contents its last user left; it returns to the pool when dropped.
pub(crate) struct Buffer<T> {
    memory: Aligned<f64>,
    len: usize,
    scalar: PhantomData<T>,
}

impl<T: Scalar> Buffer<T> {
    /// A buffer of `len` values, contents unspecified.
    pub(crate) fn take(len: usize) -> Self {
        let need = (len * size_of::<T>()).div_ceil(size_of::<f64>());
        let memory = {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            let best = (0..idle.len())
                .filter(|&i| idle[i].len() >= need && idle[i].len() <= 4 * need + 1024)
                .min_by_key(|&i| idle[i].len());
            best.map(|i| idle.swap_remove(i))
        };
        Self {
            memory: memory.unwrap_or_else(|| Aligned::zeros(need)),
            len,
            scalar: PhantomData,
        }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = idle.iter().map(|buffer| buffer.len()).sum();
        if idle.len() < KEEP_BUFFERS && held + self.memory.len() <= KEEP {
            idle.push(std::mem::take(&mut self.memory));
        }
    }
}

impl<T: Scalar> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `memory` holds at least `len * size_of::<T>()` initialised bytes; T is f32 or f64 (the trait is
        // sealed), so every bit pattern is a value and the alignment of f64 suffices.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast::<T>(), self.len) }
    }
}

impl<T: Scalar> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast::<T>(), self.len) }
    }
}

/// The slice under its own type, if T is `f64`.
#[inline(always)]
pub(crate) fn as_scalar<T: Scalar>(values: &mut [f64]) -> Option<&mut [T]> {
    // SAFETY: T is f32 or f64 (the trait is sealed); of the two only f64 has this size, so the types are the same.
    (size_of::<T>() == size_of::<f64>()).then(|| unsafe {
        std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<T>(), values.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_its_length_in_either_type() {
        for len in [0, 1, 2, 3, 7, 4096] {
            let mut single = Buffer::<f32>::take(len);
            single.fill(2.0);
            assert_eq!(single.len(), len);
            assert!(single.iter().all(|v| *v == 2.0));
            drop(single);
            let mut double = Buffer::<f64>::take(len);
            double.fill(3.0);
            assert_eq!(double.len(), len);
            assert!(double.iter().all(|v| *v == 3.0));
        }
        assert!(as_scalar::<f32>(&mut [1.0]).is_none());
        assert_eq!(as_scalar::<f64>(&mut [1.0]).unwrap(), &[1.0]);
    }
}
