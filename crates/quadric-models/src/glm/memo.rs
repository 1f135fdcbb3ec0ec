//! The products of the last few vectors, so that value, gradient, Hessian and certificate at one point share one pass.

use quadric_core::Scalar;
use std::sync::{Arc, Mutex, PoisonError};

/// Points and directions alternate in a line search; a third slot keeps the best point of a run.
const SLOTS: usize = 3;

struct Slot<T> {
    key: Vec<T>,
    products: Arc<Vec<T>>,
}

/// A least-recently-used cache from vectors, by their exact bits, to products. Hits and misses give the same bits, since
/// products are always computed in the same way.
pub(crate) struct Memo<T>(Mutex<Vec<Slot<T>>>);

/// True if both vectors have the same bits (zeros of different sign differ, equal NaNs do not).
fn same<T: Scalar>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits())
}

impl<T: Scalar> Memo<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The products of `v`, if they are known.
    pub(crate) fn find(&self, v: &[T]) -> Option<Arc<Vec<T>>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = slots.iter().position(|s| same(&s.key, v))?;
        slots[..=hit].rotate_right(1);
        Some(Arc::clone(&slots[0].products))
    }

    /// Remembers the products of `v` and forgets the oldest ones.
    pub(crate) fn keep(&self, v: &[T], products: Vec<T>) -> Arc<Vec<T>> {
        let products = Arc::new(products);
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Storage for new products: that of the oldest ones where nobody uses them any more.
    pub(crate) fn storage(&self, len: usize) -> Vec<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
