//! The two floating-point types that vectors and matrices may hold.

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A slice of either scalar type, for code that must handle both at run time (state visitors, collectives).
pub enum SliceMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Double precision.
    F64(&'a mut [f64]),
}

impl SliceMut<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// True if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `f32` or `f64` (sealed), for the entries of vectors and matrices. Objective values, dot products, norms and step
/// lengths are always `f64`.
pub trait Scalar:
    faer::traits::RealField
    + Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + private::Sealed
    + crate::dense::Decompose
    + crate::kernels::Products
    + crate::kernels::lanes::Registers
    + crate::elementwise::Functions
    + 'static
{
    /// The name of the type as users spell it: `"f32"` or `"f64"`.
    const NAME: &'static str;
    /// Unit roundoff times two: the distance from 1 to the next larger number.
    const EPSILON: f64;
    /// Rounds to this type.
    fn of(v: f64) -> Self;
    /// Exact widening.
    fn to_f64(self) -> f64;
    /// The slice with its type made visible.
    fn slice_mut(v: &mut [Self]) -> SliceMut<'_>;
}

impl Scalar for f32 {
    const NAME: &'static str = "f32";
    const EPSILON: f64 = f32::EPSILON as f64;
    #[inline(always)]
    fn of(v: f64) -> Self {
        v as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn slice_mut(v: &mut [Self]) -> SliceMut<'_> {
        SliceMut::F32(v)
    }
}

impl Scalar for f64 {
    const NAME: &'static str = "f64";
    const EPSILON: f64 = f64::EPSILON;
    #[inline(always)]
    fn of(v: f64) -> Self {
        v
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    fn slice_mut(v: &mut [Self]) -> SliceMut<'_> {
        SliceMut::F64(v)
    }
}
