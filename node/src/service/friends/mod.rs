//! Friendship: asked for, answered, ended, listed. And blocks, which end it. How a pair stands is changed by `people::change_pair`,
//! which tells the other of it.

pub mod answer_friend;
pub mod ask_friend;
pub mod block_user;
pub mod end_friendship;
pub mod list_friends;
pub mod unblock_user;
