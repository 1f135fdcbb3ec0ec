//! `+ - * /` between tensors and with numbers.

use super::Tensor;
use crate::ops::{Binary, Unary};
use std::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident),*) => { $(
        impl<'t> $trait for Tensor<'t> {
            type Output = Self;
            #[track_caller]
            fn $method(self, other: Self) -> Self {
                self.binary(Binary::$op, other)
            }
        }

        impl<'t> $trait<f64> for Tensor<'t> {
            type Output = Self;
            #[track_caller]
            fn $method(self, other: f64) -> Self {
                self.binary(Binary::$op, self.fill_like(other))
            }
        }

        impl<'t> $trait<Tensor<'t>> for f64 {
            type Output = Tensor<'t>;
            #[track_caller]
            fn $method(self, other: Tensor<'t>) -> Tensor<'t> {
                other.fill_like(self).binary(Binary::$op, other)
            }
        }
    )* };
}

operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl Neg for Tensor<'_> {
    type Output = Self;
    #[track_caller]
    fn neg(self) -> Self {
        self.tracer.emit(Unary::Neg, &[self])
    }
}
