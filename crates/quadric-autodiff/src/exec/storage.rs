//! Buffers that plans use one after another.
//!
//! The steps of a scan need their buffers only while they run, and scans run one after another. So all of them share: who
//! begins takes what was given back last, which is still in the cache. Scans in the steps of others share with their like.

use super::memory::Slot;
use crate::types::Kind;
use quadric_linalg::{Aligned, Scalar};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Lengths of buffers, those of real numbers and of indices the largest first.
#[derive(Clone, Default, Debug)]
pub(super) struct Needs {
    pub(super) floats: Vec<usize>,
    pub(super) indices: Vec<usize>,
    /// Of the tiles of loops.
    pub(super) tiles: Vec<usize>,
}

impl Needs {
    /// Enough for both.
    fn join(&mut self, other: &Self) {
        let lists = [
            (&mut self.floats, &other.floats),
            (&mut self.indices, &other.indices),
            (&mut self.tiles, &other.tiles),
        ];
        for (own, other) in lists {
            own.resize(own.len().max(other.len()), 0);
            own.iter_mut()
                .zip(other)
                .for_each(|(a, &b)| *a = (*a).max(b));
        }
    }

    pub(super) fn bytes<T>(&self) -> usize {
        let floats: usize = self.floats.iter().chain(&self.tiles).sum();
        floats * size_of::<T>() + self.indices.iter().sum::<usize>() * size_of::<i32>()
    }
}

/// Buffers for one plan at a time.
pub(super) struct Storage<T> {
    floats: Vec<Aligned<T>>,
    indices: Vec<Vec<i32>>,
    pub(super) tiles: Vec<Aligned<T>>,
}

impl<T: Scalar> Storage<T> {
    pub(super) fn new(needs: &Needs) -> Self {
        let floats = |lens: &[usize]| lens.iter().map(|&n| Aligned::zeros(n)).collect();
        Self {
            floats: floats(&needs.floats),
            indices: needs.indices.iter().map(|&n| vec![0; n]).collect(),
            tiles: floats(&needs.tiles),
        }
    }

    /// Exchanges buffers with the slots of a plan, which are named with the largest first.
    pub(super) fn exchange(&mut self, slots: &mut [Slot<T>], scratch: &[(Kind, usize)]) {
        let (mut floats, mut indices) = (self.floats.iter_mut(), self.indices.iter_mut());
        for &(kind, slot) in scratch {
            match (kind, &mut slots[slot]) {
                (Kind::Float, Slot::Float(v)) => {
                    std::mem::swap(v, floats.next().expect("as many as needed"));
                }
                (Kind::Index, Slot::Index(v)) => {
                    std::mem::swap(v, indices.next().expect("as many as needed"));
                }
                _ => unreachable!("a slot keeps its kind"),
            }
        }
    }
}

/// Storage that nobody uses at the moment.
pub(super) struct Pool<T> {
    needs: Mutex<Needs>,
    idle: Mutex<Vec<Storage<T>>>,
    /// For scans in the steps of scans, which run while those hold theirs.
    inner: OnceLock<Arc<Self>>,
}

fn locked<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Scalar> Pool<T> {
    pub(super) fn new() -> Self {
        Self {
            needs: Mutex::default(),
            idle: Mutex::default(),
            inner: OnceLock::new(),
        }
    }

    /// The pool of scans in the steps of scans that use this one.
    pub(super) fn inner(&self) -> &Arc<Self> {
        self.inner.get_or_init(|| Arc::new(Self::new()))
    }

    /// Makes sure that storage will be enough for a plan.
    pub(super) fn note(&self, needs: &Needs) {
        locked(&self.needs).join(needs);
    }

    /// Makes storage for every thread.
    pub(super) fn fill(&self) {
        let needs = locked(&self.needs).clone();
        if needs.bytes::<T>() > 0 {
            let threads = 0..rayon::current_num_threads();
            locked(&self.idle).extend(threads.map(|_| Storage::new(&needs)));
        }
        if let Some(inner) = self.inner.get() {
            inner.fill();
        }
    }

    pub(super) fn take(&self) -> Storage<T> {
        let idle = locked(&self.idle).pop();
        // More threads than when the program was compiled need more.
        idle.unwrap_or_else(|| Storage::new(&locked(&self.needs)))
    }

    pub(super) fn put(&self, storage: Storage<T>) {
        locked(&self.idle).push(storage);
    }

    pub(super) fn bytes(&self) -> usize {
        let inner = self.inner.get().map_or(0, |inner| inner.bytes());
        locked(&self.idle).len() * locked(&self.needs).bytes::<T>() + inner
    }
}
