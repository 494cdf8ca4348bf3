//! The path of a control group → which container it is of, as container runtimes name them. Knows nothing of what is in it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

/// Characters of an id that people see: as `docker ps` and `crictl ps` print it.
const ID_SHOWN: usize = 12;
/// Of a whole one: 32 bytes in hexadecimal.
const ID_CHARS: usize = 64;

/// A container, by the path that its runtime gave its control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// UID of the Kubernetes pod, with dashes.
    pub pod: Option<String>,
}

impl Container {
    /// `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, or a folder called `ID`; above it may be
    /// `kubepods-burstable-podUID.slice` or `podUID`. A container inside a container is the inner one.
    pub fn parse(path: &str) -> Option<Self> {
        let id = path.rsplit('/').find_map(id_in)?.to_owned();
        Some(Self { id, pod: path.rsplit('/').find_map(pod_in) })
    }
}

/// `0123456789ab`, `0123456789ab of pod 01234567-…`
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.get(..ID_SHOWN).unwrap_or(&self.id))?;
        self.pod.as_ref().map_or(Ok(()), |pod| write!(f, " of pod {pod}"))
    }
}

fn id_in(part: &str) -> Option<&str> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let id = name.rsplit(['-', ':']).next()?;
    (id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// systemd's cgroup driver writes the dashes of the UID as underscores.
fn pod_in(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = name.rsplit_once("pod")?.1.replace('_', "-");
    let is_uid = uid.len() >= 32 && uid.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c0d5e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d";
    const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";

    #[test]
    fn runtimes_name_their_groups() {
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/user.slice/user-0.slice/libpod-{ID}.scope"),
        ] {
            let container = Container::parse(&path).unwrap();
            assert_eq!((container.id.as_str(), &container.pod), (ID, &None), "{path}");
            assert_eq!(container.to_string(), "3f1c0d5e8a7b");
        }
    }

    #[test]
    fn pods_have_their_uid() {
        let underscored = UID.replace('-', "_");
        for path in [
            format!("/kubepods/burstable/pod{UID}/{ID}"),
            format!("/kubepods.slice/kubepods-pod{underscored}.slice/cri-containerd-{ID}.scope"),
            format!("/kubepods.slice/kubepods-besteffort-pod{underscored}.slice/crio-{ID}.scope"),
            format!("/system.slice/kubepods-burstable-pod{underscored}.slice:cri-containerd:{ID}"),
        ] {
            let container = Container::parse(&path).unwrap();
            assert_eq!(container.id, ID, "{path}");
            if !path.contains(':') {
                assert_eq!(container.to_string(), format!("3f1c0d5e8a7b of pod {UID}"), "{path}");
            }
        }
    }

    #[test]
    fn others_are_no_containers() {
        let short = ID.trim_start_matches('3');
        for path in
            ["/", "", "/user.slice/user-0.slice/session-1.scope", "/system.slice/pod.service"]
        {
            assert_eq!(Container::parse(path), None, "{path}");
        }
        assert_eq!(Container::parse(&format!("/docker/{short}")), None);
        assert_eq!(Container::parse(&format!("/docker/{}", ID.replace('3', "g"))), None);
    }
}
