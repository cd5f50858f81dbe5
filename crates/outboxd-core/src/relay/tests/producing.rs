//! producing
