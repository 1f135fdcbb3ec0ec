//! Which values share memory.

use super::{Item, Lowering, Work};
use crate::exec::Slots;
use crate::exec::memory::{Place, Slot};
use crate::ops::Constant;
use crate::types::{Kind, Type};
use quadric_linalg::{Aligned, Scalar};

/// Memory of a value, before it has a place.
pub(super) struct Buffer {
    pub(super) t: Type,
    /// The step that makes it; none for inputs and constants.
    pub(super) maker: Option<usize>,
    /// False for a register that nobody else reads.
    pub(super) is_stored: bool,
    pub(super) constant: Option<Constant>,
    /// The output that it is.
    pub(super) output: Option<usize>,
    pub(super) place: Option<Place>,
}

impl Buffer {
    pub(super) fn made(t: Type) -> Self {
        Self {
            t,
            maker: None,
            is_stored: false,
            constant: None,
            output: None,
            place: None,
        }
    }

    pub(super) fn given(t: Type, input: usize) -> Self {
        Self {
            place: Some(Place::Input(input)),
            ..Self::made(t)
        }
    }
}

impl Lowering<'_> {
    /// For every output whether products write it and nothing reads it.
    pub(super) fn are_products(&self) -> Vec<bool> {
        let outputs = 0..self.program.outputs.len();
        let is_product = |number: usize| {
            let place = self.buffers.iter().position(|b| b.output == Some(number));
            let touches = |item: &&Item| {
                place.is_some_and(|b| item.reads.contains(&b) || item.writes.contains(&b))
            };
            let mut items = self.items.iter().filter(touches);
            items.all(|item| {
                matches!(&item.work, Work::Product { out, a, b, .. }
                if Some(*out) == place && Some(a.buffer) != place && Some(b.buffer) != place)
            })
        };
        outputs.map(is_product).collect()
    }

    /// Gives every buffer a place, and returns the slots: constants, and the kinds and lengths of the others. Buffers of the same size share a slot if one is last read before the
    /// other is made; what early steps make for late ones keeps its slot for itself.
    pub(super) fn share<T: Scalar>(&mut self, order: &[usize], early: usize) -> Slots<T> {
        let mut last_read = vec![0; self.buffers.len()];
        for (time, &i) in order.iter().enumerate() {
            for &b in self.items[i].reads.iter().chain(&self.items[i].writes) {
                last_read[b] = time;
            }
        }
        let mut slots = Slots::default();
        for buffer in &mut self.buffers {
            if let Some(c) = &buffer.constant {
                buffer.place = Some(Place::Slot(slots.lens.len()));
                slots.lens.push(buffer.t.len());
                slots.arrays.push(c.values(&buffer.t).into());
            }
        }
        let mut free: Vec<(Kind, usize, usize)> = Vec::new();
        for (time, &i) in order.iter().enumerate() {
            for &b in &self.items[i].writes {
                let buffer = &mut self.buffers[b];
                if buffer.place.is_some() || !buffer.is_stored {
                    continue;
                }
                if let Some(output) = buffer.output {
                    buffer.place = Some(Place::Output(output));
                    continue;
                }
                let (kind, len) = (buffer.t.kind, buffer.t.len());
                // The one that was read last is still in the cache.
                let known = free.iter().rposition(|f| (f.0, f.1) == (kind, len));
                let slot = match known {
                    Some(found) => free.remove(found).2,
                    None => {
                        slots.scratch.push((kind, slots.lens.len()));
                        slots.lens.push(len);
                        slots.arrays.push(match kind {
                            Kind::Float => Slot::Float(Aligned::default()),
                            Kind::Index => Slot::Index(Vec::new()),
                        });
                        slots.lens.len() - 1
                    }
                };
                buffer.place = Some(Place::Slot(slot));
            }
            let item = &self.items[i];
            let mut done: Vec<usize> = item.reads.iter().chain(&item.writes).copied().collect();
            done.sort_unstable();
            done.dedup();
            for b in done {
                let buffer = &self.buffers[b];
                let made_early = buffer.maker.is_some_and(|m| !self.items[m].late);
                let kept = made_early && last_read[b] >= early;
                if let (Some(Place::Slot(slot)), true, false) =
                    (buffer.place, last_read[b] == time, kept)
                    && buffer.constant.is_none()
                {
                    free.push((buffer.t.kind, buffer.t.len(), slot));
                }
            }
        }
        let Slots { lens, scratch, .. } = &mut slots;
        scratch.sort_by_key(|&(_, slot)| std::cmp::Reverse(lens[slot]));
        slots
    }
}
