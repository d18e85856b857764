//! Events about who may come in, version 1.

use rkyv::{Archive, Deserialize, Serialize};

use super::codes::Code;
use super::common::{AddressV1, MetaV1};
use super::{Meaning, Wire};
use crate::{
    AccessDenied, Role, SessionEnded, SessionId, SessionStarted, Timestamp, TokenAdded, TokenId, TokenRevoked,
    TokenSpec, UserAdded, UserChanged, UserId, UserRemoved, UserSpec,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct UserV1 {
    id: u32,
    name: String,
    role: u8,
    password_hash: String,
    meta: MetaV1,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct UserChangedV1 {
    id: u32,
    name: String,
    role: u8,
    password_hash: String,
    meta: MetaV1,
}

macro_rules! user {
    ($($wire:ident, $event:ident;)*) => {
        $(impl Wire for $wire {
            type Event = $event;

            fn from_event(event: &$event) -> Self {
                let UserSpec { name, role, password_hash } = event.spec.clone();
                Self { id: event.id.0, name, role: role.code(), password_hash, meta: MetaV1::new(&event.meta) }
            }

            fn into_event(self) -> Meaning<$event> {
                let Self { id, name, role, password_hash, meta } = self;
                let spec = UserSpec { name, role: Role::from_code(role)?, password_hash };
                Ok($event { id: UserId(id), spec, meta: meta.get() })
            }
        })*
    };
}

user! {
    UserV1, UserAdded;
    UserChangedV1, UserChanged;
}

/// Kinds that name an id and nothing else.
macro_rules! id_only {
    ($($wire:ident, $event:ident, $id:ident;)*) => {
        $(#[derive(Archive, Serialize, Deserialize)]
        pub(super) struct $wire {
            id: u32,
            meta: MetaV1,
        }

        impl Wire for $wire {
            type Event = $event;

            fn from_event(event: &$event) -> Self {
                Self { id: event.id.0, meta: MetaV1::new(&event.meta) }
            }

            fn into_event(self) -> Meaning<$event> {
                Ok($event { id: $id(self.id), meta: self.meta.get() })
            }
        })*
    };
}

id_only! {
    UserRemovedV1, UserRemoved, UserId;
    TokenRevokedV1, TokenRevoked, TokenId;
    SessionEndedV1, SessionEnded, SessionId;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TokenV1 {
    id: u32,
    user: u32,
    name: String,
    role: u8,
    hash: [u8; 32],
    expires_at_ns: Option<i64>,
    meta: MetaV1,
}

impl Wire for TokenV1 {
    type Event = TokenAdded;

    fn from_event(event: &TokenAdded) -> Self {
        let spec = &event.spec;
        Self {
            id: event.id.0,
            user: spec.user.0,
            name: spec.name.clone(),
            role: spec.role.code(),
            hash: spec.hash,
            expires_at_ns: spec.expires_at.map(Timestamp::as_nanos),
            meta: MetaV1::new(&event.meta),
        }
    }

    fn into_event(self) -> Meaning<TokenAdded> {
        let spec = TokenSpec {
            user: UserId(self.user),
            name: self.name,
            role: Role::from_code(self.role)?,
            hash: self.hash,
            expires_at: self.expires_at_ns.map(Timestamp::from_nanos),
        };
        Ok(TokenAdded { id: TokenId(self.id), spec, meta: self.meta.get() })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct SessionV1 {
    id: u32,
    user: u32,
    hash: [u8; 32],
    address: Option<AddressV1>,
    expires_at_ns: i64,
    meta: MetaV1,
}

impl Wire for SessionV1 {
    type Event = SessionStarted;

    fn from_event(event: &SessionStarted) -> Self {
        Self {
            id: event.id.0,
            user: event.user.0,
            hash: event.hash,
            address: event.address.map(AddressV1::new),
            expires_at_ns: event.expires_at.as_nanos(),
            meta: MetaV1::new(&event.meta),
        }
    }

    fn into_event(self) -> Meaning<SessionStarted> {
        Ok(SessionStarted {
            id: SessionId(self.id),
            user: UserId(self.user),
            hash: self.hash,
            address: self.address.map(|address| address.get()).transpose()?,
            expires_at: Timestamp::from_nanos(self.expires_at_ns),
            meta: self.meta.get(),
        })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct DeniedV1 {
    address: Option<AddressV1>,
    request: String,
    reason: String,
    count: u32,
    meta: MetaV1,
}

impl Wire for DeniedV1 {
    type Event = AccessDenied;

    fn from_event(event: &AccessDenied) -> Self {
        let AccessDenied { address, request, reason, count, meta } = event.clone();
        Self { address: address.map(AddressV1::new), request, reason, count, meta: MetaV1::new(&meta) }
    }

    fn into_event(self) -> Meaning<AccessDenied> {
        let Self { address, request, reason, count, meta } = self;
        let address = address.map(|address| address.get()).transpose()?;
        Ok(AccessDenied { address, request, reason, count, meta: meta.get() })
    }
}
