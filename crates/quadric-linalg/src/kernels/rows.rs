//! Dense rows times one vector, and its transpose. Every product is exact in or accumulated in `f64`.

use super::simd::{PORTABLE_FMA, dispatch, mul_add};
use crate::Scalar;

/// Independent sums in a dot product.
const LANES: usize = 8;
/// Rows that share the loads of the vector.
const GROUP: usize = 4;

/// `out[i] <- row i of x (out.len(), d) times v`. The bits of one product do not depend on the rows around it.
pub(super) fn multiply<T: Scalar>(x: &[T], v: &[T], out: &mut [T]) {
    assert_eq!(x.len(), v.len() * out.len());
    #[cfg(target_arch = "x86_64")]
    if super::simd::has_avx2_fma() {
        // SAFETY: the CPU has just been found to offer AVX2 and FMA.
        unsafe { avx2::multiply(x, v, out) };
        return;
    }
    for (row, o) in x.chunks_exact(v.len()).zip(out) {
        *o = T::of(dot::<T, PORTABLE_FMA>(row, v));
    }
}

/// `sum <- sum + xᵀ r` with `x` (r.len(), sum.len()).
pub(super) fn add_transposed<T: Scalar>(x: &[T], r: &[T], sum: &mut [f64]) {
    assert_eq!(x.len(), r.len() * sum.len());
    dispatch!(add_transposed_body::<T>(x: &[T], r: &[T], sum: &mut [f64]));
}

/// The product of two rows in eight lanes, what is left over added to the first lanes.
#[inline(always)]
fn dot<T: Scalar, const FMA: bool>(x: &[T], v: &[T]) -> f64 {
    let mut a = [0.0; LANES];
    for (x, v) in x.chunks(LANES).zip(v.chunks(LANES)) {
        for (a, (x, v)) in a.iter_mut().zip(x.iter().zip(v)) {
            *a = mul_add::<FMA>(x.to_f64(), v.to_f64(), *a);
        }
    }
    ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]))
}

/// The same sums as [`dot`], bit for bit where that uses fused multiply-add, four rows at a time. The compiler does not
/// find these instructions by itself where `f32` has to be widened.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{GROUP, LANES};
    use crate::Scalar;
    use std::arch::x86_64::*;

    /// Values that are asked for ahead at least.
    const AHEAD: usize = 256;

    /// Sums for four rows: lanes 0 to 3 and lanes 4 to 7 of each.
    type Sums = [[__m256d; 2]; GROUP];

    /// Masks for the columns left over by whole groups of eight.
    struct Tail {
        wide: [__m256i; 2],
        narrow: [__m128i; 2],
    }

    /// # Panics
    /// If `x` is not `out.len()` rows of the length of `v`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply<T: Scalar>(x: &[T], v: &[T], out: &mut [T]) {
        let d = v.len();
        assert_eq!(x.len(), d * out.len());
        let left = d % LANES;
        let tail = Tail::new(left);
        let last = out.len().saturating_sub(1);
        for (group, out) in out.chunks_mut(GROUP).enumerate() {
            // Where fewer rows are left, the last one is repeated.
            let row = |r: usize| x[(group * GROUP + r).min(last) * d..].as_ptr();
            let rows = [row(0), row(1), row(2), row(3)];
            // SAFETY: each pointer is the start of a row of d values, and so is that of `v`.
            let sums = unsafe { dots(rows, v.as_ptr(), d - left, &tail) };
            for (o, s) in out.iter_mut().zip(sums) {
                *o = T::of(s);
            }
        }
    }

    impl Tail {
        #[target_feature(enable = "avx2,fma")]
        fn new(left: usize) -> Self {
            let lane = |l: usize| if l < left { -1 } else { 0 };
            let narrow = |h: usize| _mm_setr_epi32(lane(h), lane(h + 1), lane(h + 2), lane(h + 3));
            let narrow = [narrow(0), narrow(4)];
            Self {
                wide: narrow.map(|m| _mm256_cvtepi32_epi64(m)),
                narrow,
            }
        }

        /// The columns of one half that are left over, widened; zeros in the other lanes.
        ///
        /// # Safety
        /// The values that the mask selects can be read from `p` on.
        #[target_feature(enable = "avx2,fma")]
        #[inline]
        unsafe fn load<T: Scalar>(&self, p: *const T, half: usize) -> __m256d {
            // SAFETY: masked lanes are not read, the others are the caller's promise; T is f64 if it has its size,
            // else f32 (the trait is sealed).
            unsafe {
                if size_of::<T>() == size_of::<f64>() {
                    _mm256_maskload_pd(p.cast(), self.wide[half])
                } else {
                    _mm256_cvtps_pd(_mm_maskload_ps(p.cast(), self.narrow[half]))
                }
            }
        }
    }

    /// The products of four rows with v: `body` columns in groups of eight, and the tail.
    ///
    /// # Safety
    /// `v` and the rows point to `body` values and as many more as the tail selects; eight divides `body`.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn dots<T: Scalar>(
        rows: [*const T; GROUP],
        v: *const T,
        body: usize,
        tail: &Tail,
    ) -> [f64; GROUP] {
        let mut sums: Sums = [[_mm256_setzero_pd(); 2]; GROUP];
        let mut j = 0;
        // The next four rows: the hardware would have to find each of them anew.
        let ahead = (GROUP * body).max(AHEAD);
        // SAFETY: prefetching never faults; every index read is below `body`, or selected by the mask of the tail.
        unsafe {
            while j < body {
                let v = [load(v.add(j)), load(v.add(j + 4))];
                for r in 0..GROUP {
                    _mm_prefetch::<_MM_HINT_T0>(rows[r].wrapping_add(j + ahead).cast());
                    let x = [load(rows[r].add(j)), load(rows[r].add(j + 4))];
                    sums[r][0] = _mm256_fmadd_pd(x[0], v[0], sums[r][0]);
                    sums[r][1] = _mm256_fmadd_pd(x[1], v[1], sums[r][1]);
                }
                j += LANES;
            }
            for half in 0..2 {
                // The second half may lie outside; it is then all masked, and its address only computed.
                let at = |p: *const T| p.wrapping_add(body + 4 * half);
                let v = tail.load(at(v), half);
                for r in 0..GROUP {
                    let x = tail.load(at(rows[r]), half);
                    sums[r][half] = _mm256_fmadd_pd(x, v, sums[r][half]);
                }
            }
        }
        total(sums)
    }

    /// The lanes of each row summed in the order of [`super::dot`].
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn total(sums: Sums) -> [f64; GROUP] {
        let s = sums.map(|s| _mm256_add_pd(s[0], s[1]));
        let mut out = [0.0; GROUP];
        for pair in 0..GROUP / 2 {
            // (row 0: 0+1, row 1: 0+1, row 0: 2+3, row 1: 2+3)
            let halves = _mm256_hadd_pd(s[2 * pair], s[2 * pair + 1]);
            let high = _mm256_extractf128_pd::<1>(halves);
            let both = _mm_add_pd(_mm256_castpd256_pd128(halves), high);
            // SAFETY: two values are written to two places of `out`.
            unsafe { _mm_storeu_pd(out[2 * pair..2 * pair + 2].as_mut_ptr(), both) };
        }
        out
    }

    /// Four values, widened.
    ///
    /// # Safety
    /// Four values can be read at `p`.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn load<T: Scalar>(p: *const T) -> __m256d {
        // SAFETY: the caller's promise; T is f64 if it has its size, else f32 (the trait is sealed).
        unsafe {
            if size_of::<T>() == size_of::<f64>() {
                _mm256_loadu_pd(p.cast())
            } else {
                _mm256_cvtps_pd(_mm_loadu_ps(p.cast()))
            }
        }
    }
}

#[inline(always)]
fn add_transposed_body<T: Scalar, const FMA: bool>(x: &[T], r: &[T], sum: &mut [f64]) {
    let d = sum.len();
    let mut i = 0;
    while i + GROUP <= r.len() {
        add_rows::<T, FMA, GROUP>(&x[i * d..(i + GROUP) * d], &r[i..i + GROUP], sum);
        i += GROUP;
    }
    while i < r.len() {
        add_rows::<T, FMA, 1>(&x[i * d..(i + 1) * d], &r[i..i + 1], sum);
        i += 1;
    }
}

/// `sum[j] <- sum[j] + r[0] x[0][j] + r[1] x[1][j] + ...`, in this order.
#[inline(always)]
fn add_rows<T: Scalar, const FMA: bool, const R: usize>(x: &[T], r: &[T], sum: &mut [f64]) {
    let d = sum.len();
    let rows: [&[T]; R] = std::array::from_fn(|i| &x[i * d..(i + 1) * d]);
    let weights: [f64; R] = std::array::from_fn(|i| r[i].to_f64());
    for (j, s) in sum.iter_mut().enumerate() {
        let mut value = *s;
        for i in 0..R {
            value = mul_add::<FMA>(weights[i], rows[i][j].to_f64(), value);
        }
        *s = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On CPUs with FMA the vector kernel and the scalar definition agree in every bit; elsewhere the scalar one is used.
    fn check<T: Scalar>() {
        for d in 0..40 {
            for n in 0..7 {
                let value = |i: usize| T::of((i as f64 * 0.737).sin());
                let x: Vec<T> = (0..n * d).map(value).collect();
                let v: Vec<T> = (0..d).map(|j| value(j + 1000)).collect();
                let mut out = vec![T::of(1.0); n];
                if d > 0 {
                    multiply(&x, &v, &mut out);
                }
                for (i, o) in out.iter().enumerate().filter(|_| d > 0) {
                    let row = &x[i * d..(i + 1) * d];
                    let (fused, plain) = (dot::<T, true>(row, &v), dot::<T, false>(row, &v));
                    assert!((fused - plain).abs() <= 1e-15 * d as f64);
                    let expected = if super::super::simd::has_avx2_fma() || PORTABLE_FMA {
                        fused
                    } else {
                        plain
                    };
                    assert!(*o == T::of(expected), "n {n} d {d} {}", T::NAME);
                }
                let r: Vec<T> = (0..n).map(|i| value(i + 2000)).collect();
                let (mut plain, mut fast) = (vec![0.5; d], vec![0.5; d]);
                add_transposed(&x, &r, &mut fast);
                add_transposed_body::<T, false>(&x, &r, &mut plain);
                for (a, b) in plain.iter().zip(&fast) {
                    assert!((a - b).abs() <= 1e-15 * n as f64);
                }
            }
        }
    }

    #[test]
    fn vector_and_scalar_kernels_agree() {
        check::<f64>();
        check::<f32>();
    }
}
