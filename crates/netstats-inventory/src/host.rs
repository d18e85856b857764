//! One spelling for each host.

use crate::command::Rejection;

/// The canonical form of an address or host name as a user may type it.
///
/// # Errors
/// Not a host, or one written in a way that programs read differently.
pub fn canonical_host(_text: &str) -> Result<String, Rejection> {
    unimplemented!()
}
