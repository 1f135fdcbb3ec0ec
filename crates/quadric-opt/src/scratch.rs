//! Buffers that do not outlive a step and so are no part of a saved state.

use quadric_core::{Result, State, Visitor};

/// A buffer inside a state, skipped when the state is saved or loaded.
#[derive(Clone, Debug, Default)]
pub struct Scratch<V>(pub(crate) V);

impl<V> Scratch<Option<V>> {
    /// The buffer, made at first use.
    pub(crate) fn get(&mut self, make: impl FnOnce() -> V) -> &mut V {
        self.0.get_or_insert_with(make)
    }
}

impl<V: Send + 'static> State for Scratch<V> {
    fn visit(&mut self, _: &str, _: &mut dyn Visitor) -> Result<()> {
        Ok(())
    }
}
