//! What the system or the terminal tells us.

/// A wish from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// End in order.
    Stop,
    /// Take up the config file again.
    Reload,
}
