//! Where events go. A sink is a thread with a queue before it; positions are all that flows back.

pub mod dead_letter;
pub mod file;
pub mod redis;
