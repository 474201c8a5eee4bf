//! What is shown of one user.

use crate::app::App;
use crate::domain::profile::Profile;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::storage::directory::profiles::read_profiles;

pub async fn read_profile(app: &App, user: UserId) -> Result<Profile> {
    let profile = read_profiles(&app.directory, &[user]).await?.remove(&user);
    Ok(profile.ok_or(Refusal::NotFound)?)
}
