//! quadric
fn main() {}
