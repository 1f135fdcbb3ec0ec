//! The Newton family against closed forms, published step counts and known optima.

mod cubic;
mod glm;
mod gsc;
mod iterative;
mod problems;
mod resume;
mod trust_region;
