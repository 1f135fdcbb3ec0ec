//! Registers of 64 bytes, for kernels that the compiler cannot be trusted to put in registers as they are meant.

use super::simd::PORTABLE_FMA;
use crate::elementwise::Functions;

/// `N` numbers that are computed with together.
#[doc(hidden)]
pub trait Lanes<T>: Copy {
    const N: usize;
    /// How many of them a tile of four columns may have, so that its sums stay in registers.
    const TILE: usize;
    fn splat(v: T) -> Self;
    /// The first numbers of a slice, which has at least `N`.
    fn load(v: &[T]) -> Self;
    /// `self b + c`.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Writes the numbers to the front of a slice, which has at least `N`.
    fn store(self, out: &mut [T]);
}

/// The registers of a scalar type: of AVX-512, of AVX2, and arrays for everything else.
#[doc(hidden)]
pub trait Registers: Sized {
    type Widest: Lanes<Self>;
    type Wide: Lanes<Self>;
    type Portable: Lanes<Self>;
}

impl<T: Copy + Functions, const N: usize> Lanes<T> for [T; N] {
    const N: usize = N;
    const TILE: usize = 1;
    #[inline(always)]
    fn splat(v: T) -> Self {
        [v; N]
    }
    #[inline(always)]
    fn load(v: &[T]) -> Self {
        *v.first_chunk().expect("enough numbers")
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|l| self[l].fma::<PORTABLE_FMA>(b[l], c[l]))
    }
    #[inline(always)]
    fn store(self, out: &mut [T]) {
        out[..N].copy_from_slice(&self);
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod registers {
    impl super::Registers for f32 {
        type Widest = [f32; 16];
        type Wide = [f32; 16];
        type Portable = [f32; 16];
    }
    impl super::Registers for f64 {
        type Widest = [f64; 8];
        type Wide = [f64; 8];
        type Portable = [f64; 8];
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use super::{Lanes, Registers};
    use std::arch::x86_64::*;

    impl Registers for f32 {
        type Widest = __m512;
        type Wide = [__m256; 2];
        type Portable = [f32; 16];
    }
    impl Registers for f64 {
        type Widest = __m512d;
        type Wide = [__m256d; 2];
        type Portable = [f64; 8];
    }

    macro_rules! lanes {
        ($t:ty, $n:expr, $whole:ty, $half:ty, $splat:ident, $load:ident, $fma:ident, $store:ident,
         $half_splat:ident, $half_load:ident, $half_fma:ident, $half_store:ident) => {
            // SAFETY (all calls below): these types are only used in functions compiled for the instructions, which are
            // only called where the CPU offers them; the lengths of slices are checked before they are read or written.
            impl Lanes<$t> for $whole {
                const N: usize = $n;
                const TILE: usize = 4;
                #[inline(always)]
                fn splat(v: $t) -> Self {
                    unsafe { $splat(v) }
                }
                #[inline(always)]
                fn load(v: &[$t]) -> Self {
                    unsafe { $load(v[..$n].as_ptr()) }
                }
                #[inline(always)]
                fn mul_add(self, b: Self, c: Self) -> Self {
                    unsafe { $fma(self, b, c) }
                }
                #[inline(always)]
                fn store(self, out: &mut [$t]) {
                    unsafe { $store(out[..$n].as_mut_ptr(), self) }
                }
            }

            impl Lanes<$t> for [$half; 2] {
                const N: usize = $n;
                const TILE: usize = 1;
                #[inline(always)]
                fn splat(v: $t) -> Self {
                    [unsafe { $half_splat(v) }; 2]
                }
                #[inline(always)]
                fn load(v: &[$t]) -> Self {
                    let v = &v[..$n];
                    [0, $n / 2].map(|i| unsafe { $half_load(v[i..].as_ptr()) })
                }
                #[inline(always)]
                fn mul_add(self, b: Self, c: Self) -> Self {
                    [0, 1].map(|i| unsafe { $half_fma(self[i], b[i], c[i]) })
                }
                #[inline(always)]
                fn store(self, out: &mut [$t]) {
                    let out = &mut out[..$n];
                    unsafe {
                        $half_store(out.as_mut_ptr(), self[0]);
                        $half_store(out[$n / 2..].as_mut_ptr(), self[1]);
                    }
                }
            }
        };
    }
    lanes!(
        f32,
        16,
        __m512,
        __m256,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_fmadd_ps,
        _mm512_storeu_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_fmadd_ps,
        _mm256_storeu_ps
    );
    lanes!(
        f64,
        8,
        __m512d,
        __m256d,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_fmadd_pd,
        _mm512_storeu_pd,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_fmadd_pd,
        _mm256_storeu_pd
    );
}

/// The body of a function: calls `$body::<T, V>(arguments)` with the widest registers V that the CPU has. `$body` must be
/// `#[inline(always)]`.
macro_rules! dispatch_lanes {
    ($body:ident::<$t:ident>($($arg:ident: $ty:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
            fn widest<$t: crate::Scalar>($($arg: $ty),*) {
                $body::<$t, <$t as crate::kernels::lanes::Registers>::Widest>($($arg),*)
            }
            #[target_feature(enable = "avx2,fma")]
            fn wide<$t: crate::Scalar>($($arg: $ty),*) {
                $body::<$t, <$t as crate::kernels::lanes::Registers>::Wide>($($arg),*)
            }
            if crate::kernels::simd::has_avx512() {
                // SAFETY: the CPU has just been found to offer the instructions that `widest` is compiled for.
                return unsafe { widest::<$t>($($arg),*) };
            }
            if crate::kernels::simd::has_avx2_fma() {
                // SAFETY: the CPU has just been found to offer the instructions that `wide` is compiled for.
                return unsafe { wide::<$t>($($arg),*) };
            }
        }
        $body::<$t, <$t as crate::kernels::lanes::Registers>::Portable>($($arg),*)
    }};
}
pub(crate) use dispatch_lanes;
