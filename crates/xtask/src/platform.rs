//! What needs the system directly: packet sockets (Linux).

#[cfg(target_os = "linux")]
pub(crate) use linux::PacketSocket;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::PacketSocket;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, Read};

    use socket2::{Domain, Protocol, SockAddr, Socket, Type};

    const ETH_P_ALL: u16 = 3;

    /// All frames of one interface, both ways.
    pub(crate) struct PacketSocket(Socket);

    impl PacketSocket {
        pub(crate) fn open(interface: &str) -> io::Result<Self> {
            let protocol = ETH_P_ALL.to_be();
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
            let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
            let index: i32 = index.trim().parse().map_err(io::Error::other)?;
            socket.bind(&link_address(protocol, index)?)?;
            socket.set_recv_buffer_size(8 << 20)?;
            socket.set_send_buffer_size(8 << 20)?;
            Ok(Self(socket))
        }

        pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
            (&self.0).read(buffer)
        }

        pub(crate) fn send(&self, frame: &[u8]) -> io::Result<usize> {
            self.0.send(frame)
        }
    }

    #[expect(unsafe_code, reason = "socket2 has no constructor for packet addresses")]
    fn link_address(protocol: u16, index: i32) -> io::Result<SockAddr> {
        // SAFETY: the storage is larger than `sockaddr_ll`, aligned for it and zeroed; the length set is its size.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, length| {
                let address = &mut *storage.cast::<libc::sockaddr_ll>();
                address.sll_family = libc::AF_PACKET as u16;
                address.sll_protocol = protocol;
                address.sll_ifindex = index;
                *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                Ok(())
            })?
        };
        Ok(address)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;

    pub(crate) struct PacketSocket;

    impl PacketSocket {
        pub(crate) fn open(_: &str) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn receive(&self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn send(&self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
