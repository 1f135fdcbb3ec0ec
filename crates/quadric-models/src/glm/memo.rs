//! The products of the last few vectors, so that value, gradient, Hessian and certificate at one point share one pass, and
//! the gradient at the last point.

use quadric_core::Scalar;
use std::sync::{Arc, Mutex, PoisonError};

/// Points and directions alternate in a line search. Every slot is a column of numbers for all rows.
const SLOTS: usize = 2;

struct Slot<T> {
    key: Vec<T>,
    products: Arc<Vec<T>>,
}

/// A least-recently-used cache from vectors, by their exact bits, to products. Hits and misses give the same bits, since
/// products are always computed in the same way.
pub(crate) struct Memo<T> {
    slots: Mutex<Vec<Slot<T>>>,
    last: Mutex<Last<T>>,
}

/// Mean loss and its gradient, without the penalty, which may change, at the last point: a run that ends measures its point afresh. Nothing is kept of an empty point.
struct Last<T> {
    key: Vec<T>,
    value: f64,
    gradient: Vec<T>,
}

/// True if both vectors have the same bits (zeros of different sign differ, equal NaNs do not).
fn same<T: Scalar>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits())
}

impl<T: Scalar> Memo<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::new(Vec::new()),
            last: Mutex::new(Last {
                key: Vec::new(),
                value: 0.0,
                gradient: Vec::new(),
            }),
        }
    }

    /// The products of `v`, if they are known.
    pub(crate) fn find(&self, v: &[T]) -> Option<Arc<Vec<T>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = slots.iter().position(|s| same(&s.key, v))?;
        slots[..=hit].rotate_right(1);
        Some(Arc::clone(&slots[0].products))
    }

    /// Remembers the products of `v` and forgets the oldest ones.
    pub(crate) fn keep(&self, v: &[T], products: Vec<T>) -> Arc<Vec<T>> {
        let products = Arc::new(products);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() == SLOTS {
            slots.pop();
        }
        slots.insert(
            0,
            Slot {
                key: v.to_vec(),
                products: Arc::clone(&products),
            },
        );
        products
    }

    /// Writes the gradient of the mean loss at `x` and returns its value there, if it is the last point.
    pub(crate) fn find_gradient(&self, x: &[T], g: &mut [T]) -> Option<f64> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = !x.is_empty() && same(&last.key, x);
        is_known.then(|| {
            g.copy_from_slice(&last.gradient);
            last.value
        })
    }

    /// Remembers the mean loss and its gradient at `x`.
    pub(crate) fn keep_gradient(&self, x: &[T], value: f64, g: &[T]) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.value = value;
        x.clone_into(&mut last.key);
        g.clone_into(&mut last.gradient);
    }

    /// Storage for new products: that of the oldest ones where nobody uses them any more.
    pub(crate) fn storage(&self, len: usize) -> Vec<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() == SLOTS
            && let Some(slot) = slots.pop()
            && let Ok(mut old) = Arc::try_unwrap(slot.products)
        {
            old.resize(len, T::of(0.0));
            return old;
        }
        vec![T::of(0.0); len]
    }
}
