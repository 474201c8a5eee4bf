//! The texts of frames.

use serde_json::{Value, json};

use super::fields::text_fields;
use super::rest::percent;
use super::samples::{of_length, samples};
use super::table::FRAMES;
use super::world::World;
use super::{called, expected, with_text};
use crate::support::client::Device;
use crate::support::{DEADLINE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_frames_are_what_they_were() {
    let world = World::new().await;
    let bounds = text_fields();
    let mut peer = world.peer.connect(&world.cluster, 0).await;
    // What the world began with.
    peer.next_message().await;
    let mut faults = Vec::new();
    for (number, (field, template, place)) in (1_000..).zip(FRAMES) {
        let mut device = world.me.connect(&world.cluster, 0).await;
        let max = bounds[*field].max;
        let texts = samples(number, bounds[*field].min, max.unwrap_or(100))
            .into_iter()
            .chain(max.map(|max| of_length(number, max)));
        for text in texts {
            let frame: Value = serde_json::from_str(&world.fill(template).await).unwrap();
            let answer = ask(&mut device, with_text(&frame, &text)).await;
            let expected = expected(template, &text);
            let is_good = match *place {
                "invalid_cursor" => answer["data"]["code"] == "invalid_cursor",
                // Where the others get it, and where it is read.
                "" => {
                    let told = peer.next_message().await;
                    let path = format!("/messages/{}?limit=1", world.peer.id);
                    let read = world.me.get(&world.cluster, 0, &path).await.expect(200);
                    told[called(field)] == expected && read["items"][0][called(field)] == expected
                }
                place => answer.pointer(place) == Some(&expected),
            };
            if !is_good {
                faults.push(format!("{field}: {text:?}: {answer}"));
            }
        }
        let mut bad = vec![("a\\u0000b".to_owned(), "invalid_text"), ("a\\ud800b".to_owned(), "invalid_text")];
        bad.extend(max.map(|max| (of_length(number, max + 1), "invalid_request")));
        for (text, code) in bad {
            device.send_text(&world.fill(template).await.replace("TEXT", &text)).await;
            let error = device.expect("error").await;
            let names = error["data"]["errors"].to_string();
            if error["data"]["code"] != code
                || code == "invalid_request" && !names.contains(&format!("\"{}\"", called(field)))
            {
                faults.push(format!("{field}: {code} is right: {error}"));
            }
            // The connection stays.
            ask(&mut device, json!({"type": "ping"})).await;
        }
        device.close().await;
        peer.take_waiting();
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The direct answer to a frame, by its own `id` or by one that it is given.
async fn ask(device: &mut Device, frame: Value) -> Value {
    if frame.get("id").is_none() {
        return device.ask(frame).await;
    }
    device.send(frame.clone()).await;
    let answer = device.find(DEADLINE, |answer| answer["id"] == frame["id"]).await;
    answer.unwrap_or_else(|| panic!("no answer to {frame}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_cursors_that_are_none_are_told_so() {
    let world = World::new().await;
    let url = world.cluster.ws_url(0);
    for text in samples(2_000, 1, 100) {
        let mut device = Device::connect(&format!("{url}?token={}", percent(text.as_bytes())), None).await;
        assert_eq!(device.closed().await, 1008, "{text:?} in the URL");
        let mut device = Device::connect(&url, None).await;
        device.send(json!({"type": "auth", "token": text})).await;
        assert_eq!(device.closed().await, 1008, "{text:?} in a frame");
        let sync = json!({"cursor": text});
        let mut device = world.me.connect_with_sync(&world.cluster, 0, sync).await;
        assert_eq!(device.expect("error").await["data"]["code"], "invalid_cursor", "{text:?} in auth's sync");
    }
    for text in ["a%00b", "a%ED%A0%80b", "%FF"] {
        let mut device = Device::connect(&format!("{url}?token={text}"), None).await;
        assert_eq!(device.closed().await, 1008, "{text} in the URL");
    }
    eventually("they are all gone", || async { world.cluster.app(0).hub.len() <= 6 }).await;
}
