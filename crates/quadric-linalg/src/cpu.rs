//! What the processor can do.

/// The widest vector instructions that kernels use on this machine. Bits of results are promised per level.
pub fn simd_level() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let fma = std::is_x86_feature_detected!("fma");
        if fma && std::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if fma && std::is_x86_feature_detected!("avx2") {
            return "avx2+fma";
        }
    }
    "baseline"
}
