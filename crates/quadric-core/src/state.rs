//! The memory of a method as a tree of named numbers: one `visit` saves, loads, sizes and hashes it.

use crate::{Result, Scalar, SliceMut};

/// The memory of a method between two steps. Declare it with [`state!`](crate::state), so that no field is forgotten.
pub trait State: std::any::Any + Send {
    /// Shows every number to the visitor, under `path`, in a fixed order.
    ///
    /// # Errors
    /// Those of the visitor.
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()>;
}

/// Reads or writes the numbers of a [`State`].
pub trait Visitor {
    /// The length of the vector that follows; a loading visitor sets it where the vector is empty so far.
    ///
    /// # Errors
    /// A stored length that does not fit.
    fn len(&mut self, path: &str, n: &mut usize) -> Result<()>;
    /// Floating-point numbers, kept bit for bit.
    ///
    /// # Errors
    /// A missing entry or one of another length or type.
    fn floats(&mut self, path: &str, v: SliceMut<'_>) -> Result<()>;
    /// Integers.
    ///
    /// # Errors
    /// A missing entry or one of another length.
    fn ints(&mut self, path: &str, v: &mut [u64]) -> Result<()>;
}

impl State for () {
    fn visit(&mut self, _: &str, _: &mut dyn Visitor) -> Result<()> {
        Ok(())
    }
}

impl State for f64 {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        v.floats(path, SliceMut::F64(std::slice::from_mut(self)))
    }
}

impl State for u64 {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        v.ints(path, std::slice::from_mut(self))
    }
}

impl State for usize {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut wide = *self as u64;
        v.ints(path, std::slice::from_mut(&mut wide))?;
        *self = usize::try_from(wide).map_err(|_| {
            crate::Error::malformed(path, format!("{wide} does not fit this machine"))
        })?;
        Ok(())
    }
}

impl State for bool {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut wide = u64::from(*self);
        v.ints(path, std::slice::from_mut(&mut wide))?;
        *self = wide != 0;
        Ok(())
    }
}

impl State for Option<f64> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut some = self.is_some();
        some.visit(&format!("{path}/some"), v)?;
        let mut value = self.unwrap_or(0.0);
        value.visit(&format!("{path}/value"), v)?;
        *self = some.then_some(value);
        Ok(())
    }
}

impl<T: Scalar> State for Vec<T> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut n = self.len();
        v.len(path, &mut n)?;
        self.resize(n, T::of(0.0));
        v.floats(path, T::slice_mut(self))
    }
}

/// A vector of integers in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ints(pub Vec<u64>);

impl State for Ints {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut n = self.0.len();
        v.len(path, &mut n)?;
        self.0.resize(n, 0);
        v.ints(path, &mut self.0)
    }
}

/// Declares a state and its visitor together:
///
/// ```
/// quadric_core::state! {
///     /// Momentum and the last gradient.
///     pub struct Velocity[T: quadric_core::Scalar] { v: Vec<T>, g: Vec<T>, restarts: u64 }
/// }
/// ```
#[macro_export]
macro_rules! state {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $([$t:ident: $bound:path])? {
        $($(#[$field_meta:meta])* $field:ident: $ty:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name $(<$t: $bound>)? { $($(#[$field_meta])* $vis $field: $ty),* }
        impl $(<$t: $bound>)? $crate::State for $name $(<$t>)? {
            fn visit(&mut self, path: &str, v: &mut dyn $crate::Visitor) -> $crate::Result<()> {
                $( $crate::State::visit(&mut self.$field, &format!("{path}/{}", stringify!($field)), v)?; )*
                let _ = (path, v);
                Ok(())
            }
        }
    };
}
