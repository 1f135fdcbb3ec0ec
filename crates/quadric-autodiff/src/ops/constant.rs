//! Values that are known when the program is traced.

use super::{Evaluated, Primitive, Site, Tangents, Types, one, single};
use crate::array::{Array, Operand};
use crate::graph::Vars;
use crate::types::{Kind, Shape, Type, Var};
use quadric_linalg::Scalar;
use std::fmt;
use std::sync::Arc;

/// An array that does not depend on the inputs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Constant {
    /// One number, everywhere.
    Fill { bits: u64, shape: Shape },
    /// Given numbers, as the bits of `f64`.
    Floats { bits: Arc<[u64]>, shape: Shape },
    /// Given indices.
    Indices { values: Arc<[i32]>, shape: Shape },
    /// The position along the last axis, as an index.
    Iota { shape: Shape },
}

impl Constant {
    pub(crate) fn fill(value: f64, shape: &[usize]) -> Self {
        Self::Fill {
            bits: value.to_bits(),
            shape: shape.into(),
        }
    }

    /// The value of every entry, if they are equal by construction.
    pub(crate) fn filled(&self) -> Option<f64> {
        match self {
            Self::Fill { bits, .. } => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    /// The same constant with another length along an axis along which it does not change; none if it does.
    pub(crate) fn resized(&self, axis: usize, length: usize) -> Option<Self> {
        let mut constant = self.clone();
        match &mut constant {
            Self::Fill { shape, .. } => shape[axis] = length,
            Self::Iota { shape } if axis + 1 < shape.len() => shape[axis] = length,
            _ => return None,
        }
        Some(constant)
    }

    /// The entries.
    pub(crate) fn values<T: Scalar>(&self, t: &Type) -> Array<T> {
        let float = |bits: &u64| T::of(f64::from_bits(*bits));
        match self {
            Self::Fill { bits, .. } => Array::Float(vec![float(bits); t.len()]),
            Self::Floats { bits, .. } => Array::Float(bits.iter().map(float).collect()),
            Self::Indices { values, .. } => Array::Index(values.to_vec()),
            Self::Iota { shape } => {
                let last = shape.last().map_or(1, |&n| n as i32);
                Array::Index((0..t.len()).map(|i| i as i32 % last).collect())
            }
        }
    }

    fn kind_and_shape(&self) -> (Kind, &Shape) {
        match self {
            Self::Fill { shape, .. } | Self::Floats { shape, .. } => (Kind::Float, shape),
            Self::Indices { shape, .. } | Self::Iota { shape } => (Kind::Index, shape),
        }
    }
}

impl Primitive for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn infer(&self, _: &[&Type]) -> Result<Types, String> {
        let (kind, shape) = self.kind_and_shape();
        let t = Type {
            kind,
            shape: shape.clone(),
        };
        if matches!(self, Self::Iota { shape } if shape.last().is_some_and(|&n| n > i32::MAX as usize))
        {
            return Err(format!("{t} has more positions than indices"));
        }
        let given = match self {
            Self::Floats { bits, .. } => bits.len(),
            Self::Indices { values, .. } => values.len(),
            Self::Fill { .. } | Self::Iota { .. } => t.len(),
        };
        if given != t.len() {
            return Err(format!(
                "{given} values cannot have the shape {:?}",
                t.shape.as_slice()
            ));
        }
        single(t)
    }

    fn eval<T: Scalar>(&self, _: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        Ok(vec![self.values(&results[0])])
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        Tangents::new()
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], size: usize) -> Vars {
        std::iter::once(site.graph.repeat(site.results[0], size)).collect()
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fill { bits, .. } => write!(f, "{}", f64::from_bits(*bits)),
            Self::Floats { bits, .. } => write!(f, "({} values)", bits.len()),
            Self::Indices { values, .. } => write!(f, "({} values)", values.len()),
            Self::Iota { .. } => write!(f, "iota"),
        }
    }
}
