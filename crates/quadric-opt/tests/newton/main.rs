//! The Newton family against closed forms, published step counts and known optima.

mod cubic;
mod glm;
mod gsc;
mod iterative;
mod newton_mr;
mod problems;
mod regularized;
mod resume;
mod sketched;
mod trust_region;
