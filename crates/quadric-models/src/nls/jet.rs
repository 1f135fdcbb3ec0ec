//! Numbers that carry their first and second derivatives.

use smallvec::{Array, SmallVec};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Which derivatives an evaluation wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Value,
    Gradient,
    Hessian,
}

/// A value with its gradient and Hessian in n variables. Without derivatives (n = 0) it is a plain number; jets of one
/// computation carry derivatives of one order.
#[derive(Debug, PartialEq)]
pub struct Jet {
    pub(super) value: f64,
    pub(super) gradient: SmallVec<[f64; 4]>,
    /// The lower triangle, row after row; empty where only gradients are wanted.
    pub(super) hessian: SmallVec<[f64; 10]>,
}

impl Clone for Jet {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            value: self.value,
            gradient: SmallVec::from_slice(&self.gradient),
            hessian: SmallVec::from_slice(&self.hessian),
        }
    }
}

/// `mine <- a mine + b theirs`; what one of them lacks is 0.
fn mix<const N: usize>(a: f64, mine: &mut SmallVec<[f64; N]>, b: f64, theirs: &[f64])
where
    [f64; N]: Array<Item = f64>,
{
    if mine.len() < theirs.len() {
        mine.resize(theirs.len(), 0.0);
    }
    let (both, rest) = mine.split_at_mut(theirs.len());
    for (v, w) in both.iter_mut().zip(theirs) {
        *v = a * *v + b * w;
    }
    rest.iter_mut().for_each(|v| *v *= a);
}

impl Jet {
    /// A number that depends on nothing.
    pub fn constant(value: f64) -> Self {
        Self {
            value,
            gradient: SmallVec::new(),
            hessian: SmallVec::new(),
        }
    }

    /// Variable j of n.
    pub fn variable(value: f64, j: usize, n: usize) -> Self {
        Self::of_order(value, j, n, Order::Hessian)
    }

    /// Variable j of n with derivatives up to an order.
    pub(super) fn of_order(value: f64, j: usize, n: usize, order: Order) -> Self {
        let mut jet = Self::constant(value);
        if order != Order::Value {
            jet.gradient.resize(n, 0.0);
            jet.gradient[j] = 1.0;
        }
        if order == Order::Hessian {
            jet.hessian.resize(n * (n + 1) / 2, 0.0);
        }
        jet
    }

    /// A function of this number, by its value, slope and curvature there.
    #[inline]
    fn map(mut self, value: f64, slope: f64, curvature: f64) -> Self {
        self.value = value;
        self.chain(slope, curvature);
        self
    }

    /// The derivatives of a function of this number.
    fn chain(&mut self, slope: f64, curvature: f64) {
        let gradient: &[f64] = &self.gradient;
        let mut rest: &mut [f64] = &mut self.hessian;
        if curvature == 0.0 {
            rest.iter_mut().for_each(|h| *h *= slope);
        } else if !rest.is_empty() {
            for (i, f) in gradient.iter().enumerate() {
                let bend = curvature * f;
                let (row, below) = std::mem::take(&mut rest).split_at_mut(i + 1);
                for (h, g) in row.iter_mut().zip(gradient) {
                    *h = slope * *h + bend * g;
                }
                rest = below;
            }
        }
        self.gradient.iter_mut().for_each(|g| *g *= slope);
    }

    /// `a self + b other`.
    #[inline]
    fn combine(mut self, a: f64, b: f64, other: &Self) -> Self {
        self.value = a * self.value + b * other.value;
        self.mix(a, b, other);
        self
    }

    /// The derivatives of `a self + b other`.
    fn mix(&mut self, a: f64, b: f64, other: &Self) {
        mix(a, &mut self.gradient, b, &other.gradient);
        mix(a, &mut self.hessian, b, &other.hessian);
    }

    #[inline]
    fn product(mut self, other: &Self) -> Self {
        self.multiply(other);
        self
    }

    fn multiply(&mut self, other: &Self) {
        let (v, w) = (self.value, other.value);
        if self.gradient.len() == other.gradient.len() && self.hessian.len() == other.hessian.len()
        {
            let (f, g): (&[f64], &[f64]) = (&self.gradient, &other.gradient);
            let (mut rest, mut others): (&mut [f64], &[f64]) = (&mut self.hessian, &other.hessian);
            let rows = if rest.is_empty() { 0 } else { f.len() };
            for (i, (a, b)) in f.iter().zip(g).enumerate().take(rows) {
                let (row, below) = std::mem::take(&mut rest).split_at_mut(i + 1);
                let (others_row, others_below) = others.split_at(i + 1);
                let pairs = row.iter_mut().zip(others_row);
                for ((h, k), (f, g)) in pairs.zip(f.iter().zip(g)) {
                    *h = (w * *h + v * k) + (a * g + f * b);
                }
                (rest, others) = (below, others_below);
            }
            for (f, g) in self.gradient.iter_mut().zip(g) {
                *f = w * *f + v * g;
            }
        } else {
            // One of them is a constant.
            self.mix(w, v, other);
        }
        self.value = v * w;
    }

    /// The square.
    #[must_use]
    pub fn square(&self) -> Self {
        let v = self.value;
        self.clone().map(v * v, 2.0 * v, 2.0)
    }

    /// A power with a constant exponent.
    #[must_use]
    pub fn power(self, e: f64) -> Self {
        let v = self.value;
        // A factor of zero makes an end of the derivatives, also where the power is infinite.
        let times = |factor: f64, e: f64| {
            if factor == 0.0 {
                0.0
            } else {
                factor * v.powf(e)
            }
        };
        let (slope, curvature) = (times(e, e - 1.0), times(e * (e - 1.0), e - 2.0));
        self.map(v.powf(e), slope, curvature)
    }

    /// The exponential.
    #[must_use]
    pub fn exp(self) -> Self {
        let e = self.value.exp();
        self.map(e, e, e)
    }

    /// The natural logarithm.
    #[must_use]
    pub fn ln(self) -> Self {
        let v = self.value;
        self.map(v.ln(), 1.0 / v, -1.0 / (v * v))
    }

    /// The sine.
    #[must_use]
    pub fn sin(self) -> Self {
        let (s, c) = self.value.sin_cos();
        self.map(s, c, -s)
    }

    /// The cosine.
    #[must_use]
    pub fn cos(self) -> Self {
        let (s, c) = self.value.sin_cos();
        self.map(c, -s, -c)
    }

    /// The tangent.
    #[must_use]
    pub fn tan(self) -> Self {
        let t = self.value.tan();
        let slope = 1.0 + t * t;
        self.map(t, slope, 2.0 * t * slope)
    }

    /// The arc tangent.
    #[must_use]
    pub fn atan(self) -> Self {
        let v = self.value;
        let slope = 1.0 / (1.0 + v * v);
        self.map(v.atan(), slope, -2.0 * v * slope * slope)
    }

    /// The magnitude; its derivatives at 0 are those from the right.
    #[must_use]
    pub fn abs(self) -> Self {
        if self.value < 0.0 { -self } else { self }
    }

    /// The sum of some numbers.
    pub fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::constant(0.0), |s, p| s + p)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident: $jets:expr, $number:expr, $reverse:expr;)*) => { $(
        impl $trait for Jet {
            type Output = Jet;
            #[inline]
            fn $method(self, other: Jet) -> Jet { $jets(self, &other) }
        }
        impl $trait<&Jet> for Jet {
            type Output = Jet;
            #[inline]
            fn $method(self, other: &Jet) -> Jet { $jets(self, other) }
        }
        impl $trait<Jet> for &Jet {
            type Output = Jet;
            #[inline]
            fn $method(self, other: Jet) -> Jet { $jets(self.clone(), &other) }
        }
        impl $trait<&Jet> for &Jet {
            type Output = Jet;
            #[inline]
            fn $method(self, other: &Jet) -> Jet { $jets(self.clone(), other) }
        }
        impl $trait<f64> for Jet {
            type Output = Jet;
            #[inline]
            fn $method(self, other: f64) -> Jet { $number(self, other) }
        }
        impl $trait<f64> for &Jet {
            type Output = Jet;
            #[inline]
            fn $method(self, other: f64) -> Jet { $number(self.clone(), other) }
        }
        impl $trait<Jet> for f64 {
            type Output = Jet;
            #[inline]
            fn $method(self, other: Jet) -> Jet { $reverse(self, other) }
        }
        impl $trait<&Jet> for f64 {
            type Output = Jet;
            #[inline]
            fn $method(self, other: &Jet) -> Jet { $reverse(self, other.clone()) }
        }
    )* };
}

#[inline]
fn shifted(mut a: Jet, by: f64) -> Jet {
    a.value += by;
    a
}

#[inline]
fn scaled(a: Jet, by: f64) -> Jet {
    let value = by * a.value;
    a.map(value, by, 0.0)
}

#[inline]
fn inverse(a: Jet) -> Jet {
    let v = 1.0 / a.value;
    a.map(v, -v * v, 2.0 * v * v * v)
}

operators! {
    Add add: |a: Jet, b: &Jet| a.combine(1.0, 1.0, b), shifted, |a, b| shifted(b, a);
    Sub sub: |a: Jet, b: &Jet| a.combine(1.0, -1.0, b), |a, b: f64| shifted(a, -b), |a, b: Jet| shifted(-b, a);
    Mul mul: |a: Jet, b: &Jet| a.product(b), scaled, |a, b| scaled(b, a);
    Div div: |a: Jet, b: &Jet| a.product(&inverse(b.clone())), |a, b: f64| scaled(a, 1.0 / b), |a, b| scaled(inverse(b), a);
}

impl Neg for Jet {
    type Output = Self;
    fn neg(self) -> Self {
        scaled(self, -1.0)
    }
}

impl Neg for &Jet {
    type Output = Jet;
    fn neg(self) -> Jet {
        -self.clone()
    }
}
