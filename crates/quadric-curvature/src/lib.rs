//! What the curvature of a model is: eigenvalues, traces, densities and factors of its Hessian, Gauss-Newton, Fisher and
//! covariance matrices.
