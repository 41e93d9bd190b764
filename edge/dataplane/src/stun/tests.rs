//! RFC 5769 test vectors, and what a peer can get wrong.

use std::net::SocketAddr;

use ring::hmac;

use super::attributes::attributes;
use super::integrity::{check_integrity, key, set_len};
use super::*;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: [u8; 12] = [
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
];

/// RFC 5769, section 2.1: a request with short-term credentials.
const REQUEST: &[u8] = b"\
    \x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\
    \x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// RFC 5769, section 2.2: a response over IPv4.
const RESPONSE_IPV4: &[u8] = b"\
    \x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0btest vector\x20\
    \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
    \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
    \x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769, section 2.3: the same over IPv6.
const RESPONSE_IPV6: &[u8] = b"\
    \x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0btest vector\x20\
    \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
    \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\
    \x80\x28\x00\x04\xc8\xfb\x0b\x4c";

fn request(datagram: &[u8]) -> Request<'_> {
    match parse(datagram) {
        Ok(Message::BindingRequest(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

fn integrity_start(message: &[u8]) -> usize {
    attributes(message)
        .flatten()
        .find(|attribute| attribute.kind == MESSAGE_INTEGRITY)
        .unwrap()
        .start
}

/// A request of the given attributes, signed, without FINGERPRINT, followed by `after`.
fn signed(kinds: &[(u16, &[u8])], after: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = [&BINDING_REQUEST[..], &[0, 0], &MAGIC_COOKIE, &TRANSACTION].concat();
    let put = |message: &mut Vec<u8>, kind: u16, value: &[u8]| {
        message.extend(kind.to_be_bytes());
        message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    for (kind, value) in kinds {
        put(&mut message, *kind, value);
    }
    set_len(&mut message, 24);
    let tag = hmac::sign(&key(PASSWORD), &message);
    put(&mut message, MESSAGE_INTEGRITY, tag.as_ref());
    for (kind, value) in after {
        put(&mut message, *kind, value);
    }
    set_len(&mut message, 0);
    message
}

#[test]
fn rfc_5769_request_is_read_and_verified() {
    let request = request(REQUEST);
    assert_eq!(
        (request.local_ufrag, request.remote_ufrag),
        ("evtj", "h6vY")
    );
    assert_eq!(
        (request.transaction, request.priority),
        (TRANSACTION, 0x6e00_01ff)
    );
    assert_eq!(
        (request.controlling, request.controlled),
        (None, Some(0x932f_f9b1_5126_3b36))
    );
    assert!(!request.use_candidate && !request.unknown);
    assert_eq!(request.verify(REQUEST, PASSWORD), Ok(()));
    assert_eq!(
        request.verify(REQUEST, "another password"),
        Err(Drop::BadIntegrity)
    );
    assert_eq!(
        request.verify(&REQUEST[..80], PASSWORD),
        Err(Drop::BadIntegrity)
    );
    assert_eq!(request.verify(&[], PASSWORD), Err(Drop::BadIntegrity));
}

#[test]
fn rfc_5769_responses_carry_integrity_and_are_no_requests() {
    for response in [RESPONSE_IPV4, RESPONSE_IPV6] {
        assert_eq!(parse(response), Ok(Message::BindingResponse));
        assert_eq!(
            check_integrity(response, integrity_start(response), PASSWORD),
            Ok(())
        );
    }
}

#[test]
fn success_tells_the_address_as_in_rfc_5769() {
    let addresses = [
        ("192.0.2.1:32853", &RESPONSE_IPV4[36..48]),
        ("[::ffff:192.0.2.1]:32853", &RESPONSE_IPV4[36..48]),
        (
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
            &RESPONSE_IPV6[36..60],
        ),
    ];
    for (address, attribute) in addresses {
        let mut out = vec![0xff]; // what stands there already stays
        write_binding_success(
            &mut out,
            &TRANSACTION,
            address.parse::<SocketAddr>().unwrap(),
            PASSWORD,
        );
        let message = &out[1..];
        assert_eq!(&message[20..20 + attribute.len()], attribute, "{address}");
        assert_eq!(parse(message), Ok(Message::BindingResponse));
        assert_eq!(
            check_integrity(message, integrity_start(message), PASSWORD),
            Ok(())
        );
    }
}

#[test]
fn a_success_is_no_longer_than_the_request() {
    let mut out = vec![];
    write_binding_success(
        &mut out,
        &TRANSACTION,
        "192.0.2.1:32853".parse().unwrap(),
        PASSWORD,
    );
    let smallest = signed(
        &[(USERNAME, b"evtj:h6vY"), (PRIORITY, &[0; 4])],
        &[(FINGERPRINT, &[0; 4])],
    );
    assert!(out.len() <= smallest.len());
}

#[test]
fn role_conflict_is_error_487() {
    let mut out = vec![];
    write_role_conflict(&mut out, &TRANSACTION, PASSWORD);
    assert_eq!(parse(&out), Ok(Message::BindingResponse));
    assert_eq!(out[20..28], [0, 9, 0, 17, 0, 0, 4, 87]);
    assert_eq!(
        check_integrity(&out, integrity_start(&out), PASSWORD),
        Ok(())
    );
}

#[test]
fn any_changed_octet_is_refused() {
    // Not the type of FINGERPRINT: as another attribute after MESSAGE-INTEGRITY it is to be ignored.
    for at in (0..REQUEST.len()).filter(|at| !(100..102).contains(at)) {
        let mut changed = REQUEST.to_vec();
        changed[at] ^= 1;
        let accepted = match parse(&changed) {
            Ok(Message::BindingRequest(request)) => request.verify(&changed, PASSWORD).is_ok(),
            _ => false,
        };
        assert!(!accepted, "octet {at}");
    }
}

#[test]
fn any_cut_is_refused() {
    for len in 0..REQUEST.len() {
        assert!(parse(&REQUEST[..len]).is_err(), "{len} octets");
    }
}

#[test]
fn a_wrong_fingerprint_is_bad_integrity_and_a_missing_one_is_accepted() {
    let mut wrong = REQUEST.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(parse(&wrong), Err(Drop::BadIntegrity));
    let without = signed(
        &[
            (USERNAME, b"a:b"),
            (USE_CANDIDATE, &[]),
            (ICE_CONTROLLING, &[1; 8]),
        ],
        &[],
    );
    let request = request(&without);
    assert!(request.use_candidate);
    assert_eq!(
        (request.controlling, request.priority),
        (Some(0x0101_0101_0101_0101), 0)
    );
    assert_eq!(request.verify(&without, PASSWORD), Ok(()));
}

#[test]
fn a_fingerprint_must_be_the_last() {
    let early = signed(
        &[(USERNAME, b"a:b")],
        &[(FINGERPRINT, &[0; 4]), (PRIORITY, &[0; 4])],
    );
    assert_eq!(parse(&early), Err(Drop::Malformed));
}

#[test]
fn the_first_of_duplicates_counts_and_what_follows_integrity_does_not() {
    let before: [(u16, &[u8]); 4] = [
        (USERNAME, b"a:b"),
        (USERNAME, b"c:d"),
        (PRIORITY, &[1; 4]),
        (PRIORITY, &[2; 4]),
    ];
    let datagram = signed(&before, &[(USE_CANDIDATE, &[]), (0x7fff, &[1])]);
    let request = request(&datagram);
    assert_eq!((request.local_ufrag, request.priority), ("a", 0x0101_0101));
    assert!(!request.use_candidate && !request.unknown);
    assert_eq!(request.verify(&datagram, PASSWORD), Ok(()));
}

#[test]
fn only_attributes_that_must_be_understood_are_unknown() {
    for (kind, unknown) in [
        (0x0030, true),
        (0x7fff, true),
        (0xc057, false),
        (0x8022, false),
        (0x0014, false),
    ] {
        let datagram = signed(&[(USERNAME, b"a:b"), (kind, &[1, 2, 3])], &[]);
        assert_eq!(request(&datagram).unknown, unknown, "attribute {kind:#06x}");
    }
}

#[test]
fn requests_without_user_or_integrity_are_refused_by_reason() {
    for name in [&b"no colon"[..], b"\xff:\xff"] {
        assert_eq!(
            parse(&signed(&[(USERNAME, name)], &[])),
            Err(Drop::UnknownUser)
        );
    }
    assert_eq!(parse(&signed(&[], &[])), Err(Drop::UnknownUser));
    let mut unsigned = signed(&[(USERNAME, b"a:b")], &[]);
    unsigned.truncate(28);
    set_len(&mut unsigned, 0);
    assert_eq!(parse(&unsigned), Err(Drop::BadIntegrity));
    let short = signed(&[(USERNAME, b"a:b"), (PRIORITY, &[1, 2])], &[]);
    assert_eq!(parse(&short), Err(Drop::Malformed));
}

#[test]
fn other_protocols_methods_and_classes_are_told_apart() {
    let header = |kind: [u8; 2]| [&kind[..], &[0, 0], &MAGIC_COOKIE, &TRANSACTION].concat();
    assert_eq!(
        parse(&header(BINDING_INDICATION)),
        Ok(Message::BindingIndication)
    );
    assert_eq!(parse(&header(BINDING_ERROR)), Ok(Message::BindingResponse));
    assert_eq!(
        parse(&header([0, 3])),
        Err(Drop::UnknownProtocol),
        "Allocate"
    );
    assert!(
        !is_stun(&header([0x80, 0])) && !is_stun(&header([20, 0])) && !is_stun(&header([4, 0]))
    );
    let mut other = header(BINDING_REQUEST);
    other[3] = 2;
    assert!(!is_stun(&other), "length not of whole words");
    other[3] = 0;
    other[4] = 0;
    assert!(!is_stun(&other), "another cookie");
}
