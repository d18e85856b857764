//! Secrets: random ones and passwords, and what is kept of them.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::limits::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};
use crate::problem::Problem;

/// What an API token begins with, so that scanners of leaked secrets can know it.
pub(crate) const TOKEN_PREFIX: &str = "nsc_";
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// 256 random bits.
pub(crate) fn random() -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal().because(format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// A secret as text: 64 hexadecimal digits.
pub(crate) fn to_text(secret: &[u8; 32]) -> String {
    crate::json::hex(secret)
}

/// What is kept of a secret of 256 random bits: nobody can try them all, so a fast hash is enough.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

/// What a page shows with each change, besides its cookie: derived from the secret, so that nothing more is kept.
pub(crate) fn csrf(secret: &str) -> String {
    let key = blake3::derive_key("network-stats 2026-11 session csrf", secret.as_bytes());
    crate::json::hex(&key[..16])
}

/// Equal, in a time that does not tell where they differ.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

/// Argon2id as OWASP's password storage cheat sheet has it: 19 MiB, two passes, one lane.
fn argon2(m: u32, t: u32, p: u32) -> Option<Argon2<'static>> {
    let params = Params::new(m, t, p, Some(HASH_BYTES)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash of a password: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`, the last two in hexadecimal. Takes its time.
pub(crate) fn hash_password(password: &str) -> Result<String, Problem> {
    let (m, t, p) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
    let salt = &random()?[..SALT_BYTES];
    let mut out = [0; HASH_BYTES];
    argon2(m, t, p)
        .and_then(|argon2| argon2.hash_password_into(password.as_bytes(), salt, &mut out).ok())
        .ok_or_else(Problem::internal)?;
    Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${}${}", crate::json::hex(salt), crate::json::hex(&out)))
}

/// The password is the one that was hashed. Takes its time.
pub(crate) fn verify_password(password: &str, kept: &str) -> bool {
    let mut parts = kept.split('$').skip(1);
    let result = (|| {
        let ("argon2id", "v=19", params) = (parts.next()?, parts.next()?, parts.next()?) else { return None };
        let (salt, hash) = (unhex(parts.next()?)?, unhex(parts.next()?)?);
        let mut params = params.split(',').filter_map(|part| part.split_once('=')?.1.parse().ok());
        let argon2 = argon2(params.next()?, params.next()?, params.next()?)?;
        let mut out = [0; HASH_BYTES];
        argon2.hash_password_into(password.as_bytes(), &salt, &mut out).ok()?;
        Some(same(&out, &hash))
    })();
    result == Some(true)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Refuses a password that is tried first by those who guess.
pub(crate) fn check_password(password: &str, name: &str) -> Result<(), Problem> {
    let refused = |why: String| {
        Err(Problem::invalid(why).field("password").accepted(format!(
            "at least {MIN_PASSWORD_CHARS} characters, six different ones, not the name; a few random words are good"
        )))
    };
    let chars = password.chars().count();
    if chars < MIN_PASSWORD_CHARS {
        return refused(format!("the password has {chars} characters"));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return refused(format!("the password has more than {MAX_PASSWORD_BYTES} bytes"));
    }
    let different = password.chars().collect::<std::collections::BTreeSet<_>>().len();
    if different < 6 {
        return refused(format!("the password has {different} different characters"));
    }
    let (lower, name) = (password.to_lowercase(), name.to_lowercase());
    let is_run = |run: &str| run.contains(&*lower) || run.chars().rev().collect::<String>().contains(&*lower);
    let without: String = lower.split(&*name).filter(|_| !name.is_empty()).collect();
    if (!name.is_empty() && lower.contains(&*name) && without.chars().count() < MIN_PASSWORD_CHARS / 2)
        || is_run("qwertyuiopasdfghjklzxcvbnm")
        || is_run("abcdefghijklmnopqrstuvwxyz0123456789")
        || is_run("12345678901234567890")
        || (lower.contains("password") && lower.len() < 16)
    {
        return refused("the password is easily guessed".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let kept = hash_password("correct horse battery").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify_password("correct horse battery", &kept));
        assert!(!verify_password("correct horse batterz", &kept));
        assert_ne!(hash_password("correct horse battery").unwrap(), kept, "each has its salt");
        for broken in
            ["", "x", "$argon2id$v=19$m=1,t=1,p=1$zz$00", "$argon2id$v=19$$00$00", "$argon2i$v=19$m=8,t=1,p=1$00$00"]
        {
            assert!(!verify_password("correct horse battery", broken), "{broken}");
        }
    }

    #[test]
    fn what_is_guessed_first_is_no_password() {
        for bad in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "alexandra2024",
            "qwertyuiopas",
            "123456789012",
            "Password12345",
        ] {
            assert_eq!(check_password(bad, "alexandra").unwrap_err().field.as_deref(), Some("password"), "{bad}");
        }
        assert!(check_password(&"ab1 2cd x".repeat(200), "ada").is_err());
        assert!(check_password("correct horse battery", "ada").is_ok());
        assert!(check_password("correct horse battery", "").is_ok());
    }
}
