//! What comes in for a session: messages of its channels, and the payloads of POSTs.

use super::cell::{Locked, PayloadEnd};
use super::channel::Channel;
use crate::protocol::{Data, PacketType, jsonp, text_of, v3, v4};
use crate::runtime::owner::contract::{Kind, PARSE_ERROR, UNKNOWN_TYPE};
use crate::runtime::owner::events::Batch;
use crate::session::{Delivery, PROBE, Revision};

/// What comes by POST comes from no channel.
const BY_POST: Option<&dyn Channel> = None;

impl Locked<'_> {
    /// A text message from a channel, which must be valid UTF-8: one packet.
    pub fn receive_text<C: Channel + ?Sized>(&mut self, channel: &C, text: &[u8], batch: &mut Batch) {
        let Ok(text) = std::str::from_utf8(text) else { return };
        match self.inner.machine.revision() {
            Revision::V4 => match v4::decode_text(text) {
                Ok(packet) => self.receive_packet(Some(channel), Some(packet.kind), packet.data, batch),
                Err(_) => self.receive_garbage(Some(channel), batch),
            },
            Revision::V3 => match v3::decode_packet_text(text) {
                Ok(packet) => self.receive_packet(Some(channel), packet.kind, packet.data, batch),
                Err(_) => self.receive_garbage(Some(channel), batch),
            },
        }
    }

    /// A binary message from a channel: one packet.
    pub fn receive_binary<C: Channel + ?Sized>(&mut self, channel: &C, bytes: &[u8], batch: &mut Batch) {
        match self.inner.machine.revision() {
            Revision::V4 => {
                let data = Data::Binary(bytes.into());
                self.receive_packet(Some(channel), Some(PacketType::Message), data, batch);
            }
            Revision::V3 => {
                let packet = v3::decode_packet_binary(bytes);
                self.receive_packet(Some(channel), packet.kind, packet.data, batch);
            }
        }
    }

    /// One packet from a channel or (`None`) from a POST.
    fn receive_packet<C: Channel + ?Sized>(
        &mut self,
        channel: Option<&C>,
        kind: Option<PacketType>,
        data: Data<'_>,
        batch: &mut Batch,
    ) {
        let id = channel.map(|channel| channel.id());
        let session = self.cell.handle;
        if kind != Some(PacketType::Message) && self.cell.shows_packets() && self.inner.machine.listens_to(id) {
            // a close packet by POST concerns the transport
            if id.is_some() || kind != Some(PacketType::Close) {
                let arg = kind.map_or(UNKNOWN_TYPE, |kind| kind as u32);
                push_data(batch, Kind::Packet, session, arg, &data);
                self.charge(channel, batch);
            }
        }
        let probe = matches!(&data, Data::Text(text) if text == PROBE);
        let delivery = self.inner.machine.receive(self.now, id, kind, probe, &mut self.actions);
        if delivery == Delivery::Message {
            push_data(batch, Kind::Message, session, 0, &data);
            self.charge(channel, batch);
        }
        self.apply(batch);
    }

    /// Something other than a packet.
    fn receive_garbage<C: Channel + ?Sized>(&mut self, channel: Option<&C>, batch: &mut Batch) {
        let id = channel.map(|channel| channel.id());
        if self.cell.shows_packets() && self.inner.machine.listens_to(id) {
            batch.push(Kind::Packet, self.cell.handle, PARSE_ERROR);
            self.charge(channel, batch);
        }
        self.inner.machine.receive_garbage(id, &mut self.actions);
        self.apply(batch);
    }

    /// Decodes the body of a POST and acts on its packets.
    pub fn receive_payload(&mut self, body: &[u8], binary: bool, batch: &mut Batch) {
        if self.cell.encoding().jsonp.is_none() {
            return self.receive_packets(body, binary, batch);
        }
        // a body without a payload is ignored
        let form = if binary { None } else { jsonp::unwrap_form(&text_of(body)) };
        if let Some(payload) = form {
            self.receive_packets(payload.as_bytes(), false, batch);
        }
    }

    fn receive_packets(&mut self, body: &[u8], binary: bool, batch: &mut Batch) {
        match self.inner.machine.revision() {
            Revision::V4 => {
                for packet in v4::decode_payload(&text_of(body)) {
                    self.receive_next(packet.map(|packet| (Some(packet.kind), packet.data)), batch);
                }
            }
            Revision::V3 if binary => {
                for packet in v3::decode_payload_binary(body) {
                    self.receive_next(packet.map(|packet| (packet.kind, packet.data)), batch);
                }
            }
            Revision::V3 => {
                for packet in v3::decode_payload_text(&text_of(body)) {
                    self.receive_next(packet.map(|packet| (packet.kind, packet.data)), batch);
                }
            }
        }
    }

    /// Handles the next packet of a payload. A packet that ends the session is put off until the owner has seen those
    /// before it, and the packet itself, so that its answers go out first.
    fn receive_next<E>(&mut self, packet: Result<(Option<PacketType>, Data<'_>), E>, batch: &mut Batch) {
        if self.inner.put_off.is_some() {
            return;
        }
        let wrong_heartbeat = match self.inner.machine.revision() {
            Revision::V4 => PacketType::Ping,
            Revision::V3 => PacketType::Pong,
        };
        let end = match packet {
            Err(_) => PayloadEnd::Garbage,
            Ok((Some(kind), data)) if kind == PacketType::Close || kind == wrong_heartbeat => {
                PayloadEnd::Packet(kind, data.into_owned())
            }
            Ok((kind, data)) => return self.receive_packet(BY_POST, kind, data, batch),
        };
        if batch.events.iter().any(|event| matches!(event.kind, Kind::Message | Kind::Packet | Kind::SendPacket)) {
            self.put_off(end, batch);
        } else {
            self.end_by(end, batch);
        }
    }

    fn put_off(&mut self, end: PayloadEnd, batch: &mut Batch) {
        self.inner.put_off = Some(Box::new(end));
        batch.push(Kind::PayloadEnd, self.cell.handle, 0);
    }

    /// Handles the packet that was put off, because the owner has come to [`Kind::PayloadEnd`].
    pub fn end_payload(&mut self, batch: &mut Batch) {
        if let Some(end) = self.inner.put_off.take() {
            self.end_by(*end, batch);
            self.cell.tell_settled();
        }
    }

    /// Handles a packet that ends the session. An owner that listens to packets hears of it first, so that its answer
    /// goes out.
    fn end_by(&mut self, end: PayloadEnd, batch: &mut Batch) {
        let is_heard = self.cell.shows_packets() && self.inner.machine.listens_to(None);
        match end {
            PayloadEnd::Garbage if is_heard => {
                batch.push(Kind::Packet, self.cell.handle, PARSE_ERROR);
                self.put_off(PayloadEnd::Heard(None), batch);
            }
            PayloadEnd::Packet(kind, data) if is_heard && kind != PacketType::Close => {
                push_data(batch, Kind::Packet, self.cell.handle, kind as u32, &data);
                self.put_off(PayloadEnd::Heard(Some(kind)), batch);
            }
            PayloadEnd::Heard(kind) => {
                self.inner.machine.receive_heard(self.now, kind, &mut self.actions);
                self.apply(batch);
            }
            PayloadEnd::Garbage => {
                self.inner.machine.receive_garbage(None, &mut self.actions);
                self.apply(batch);
            }
            PayloadEnd::Packet(kind, _) => {
                self.inner.machine.receive(self.now, None, Some(kind), false, &mut self.actions);
                self.apply(batch);
            }
        }
    }
}

fn push_data(batch: &mut Batch, kind: Kind, target: u32, arg: u32, data: &Data<'_>) {
    match data {
        Data::None => batch.push(kind, target, arg),
        Data::Text(text) => batch.push_text(kind, target, arg, text.as_bytes()),
        Data::Binary(bytes) => batch.push_bytes(kind, target, arg, bytes),
    }
}
