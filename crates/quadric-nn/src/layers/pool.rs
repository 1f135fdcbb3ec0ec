//! Pooling over whole images; for windows see [`Tensor::max_pool`] and [`Tensor::avg_pool`].

use quadric_autodiff::Tensor;

/// The mean of each channel of images `(n, h, w, channels)`; gives `(n, channels)`.
#[track_caller]
pub fn global_avg_pool(x: Tensor<'_>) -> Tensor<'_> {
    x.mean(&[1, 2])
}

/// The largest entry of each channel of images `(n, h, w, channels)`; gives `(n, channels)`.
#[track_caller]
pub fn global_max_pool(x: Tensor<'_>) -> Tensor<'_> {
    x.max(&[1, 2])
}
