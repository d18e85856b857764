//! Checks of descriptions.
