//! One body, compiled twice: for AVX2 with fused multiply-add, and for whatever the build targets; where arithmetic and not
//! memory is the limit, a third time for AVX-512, with the same bits as AVX2.

/// Fused multiply-add is an instruction of every CPU of the build target (not so on plain x86-64, where it would be a
/// slow library call).
pub(crate) const PORTABLE_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// Whether the kernels compiled for AVX2 and FMA can run here.
#[inline(always)]
pub(crate) fn has_avx2_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether the functions compiled for AVX-512 can run here.
#[inline(always)]
pub(crate) fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_avx2_fma()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512dq");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Asks for the line of the cache at an address, which need not exist.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching never faults, and every x86-64 CPU has the instruction.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// `a b + c`, rounded once if `FMA`, else twice.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The body of a function: calls `$body::<T, FMA>(arguments)` compiled for AVX2 and FMA where the CPU has them, else
/// compiled for the build target. `$body` must be `#[inline(always)]`.
macro_rules! dispatch {
    ($body:ident::<$t:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn wide<$t: crate::Scalar>($($arg: $ty),*) $(-> $ret)? {
                $body::<$t, true>($($arg),*)
            }
            if crate::kernels::simd::has_avx2_fma() {
                // SAFETY: the CPU has just been found to offer the instructions that `wide` is compiled for.
                return unsafe { wide::<$t>($($arg),*) };
            }
        }
        $body::<$t, { crate::kernels::simd::PORTABLE_FMA }>($($arg),*)
    }};
}
pub(crate) use dispatch;

/// As [`dispatch`], with AVX-512 where the CPU has it.
macro_rules! dispatch_widest {
    ($body:ident::<$t:ident>($($arg:ident: $ty:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
            fn widest<$t: crate::Scalar>($($arg: $ty),*) {
                $body::<$t, true>($($arg),*)
            }
            if crate::kernels::simd::has_avx512() {
                // SAFETY: the CPU has just been found to offer the instructions that `widest` is compiled for.
                return unsafe { widest::<$t>($($arg),*) };
            }
        }
        crate::kernels::simd::dispatch!($body::<$t>($($arg: $ty),*))
    }};
}
pub(crate) use dispatch_widest;
