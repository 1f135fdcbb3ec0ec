//! One module per command, and what they share.

pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod curvature;
pub(crate) mod data;
pub(crate) mod examples;
pub(crate) mod fit;
pub(crate) mod fitted;
pub(crate) mod methods;
pub(crate) mod minimize;
pub(crate) mod model;
pub(crate) mod predict;
pub(crate) mod problem;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod solve;
