import { describe, expect, it } from "vitest";
import { refusal } from "./fixtures.ts";
import { resolveUser } from "./user.ts";

const files = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\n1000:x:77:77::/home/odd:\nbroken\nbig:x:4294967296:0::/:\nneg:x:-1:0::/:\n",
  group: "root:x:0:\nwww:x:33:\nadm:x:4:www,root\ndocker:x:999:www\nhuge:x:99999999999:\n",
};

describe("a user is looked up in the image's files", () => {
  it.each([
    ["", { uid: 0, gid: 0, additionalGids: [0, 4], home: "/root" }],
    ["www", { uid: 33, gid: 33, additionalGids: [33, 4, 999], home: "/var/www" }],
    ["33", { uid: 33, gid: 33, additionalGids: [33, 4, 999], home: "/var/www" }],
    ["www:adm", { uid: 33, gid: 4, additionalGids: [4], home: "/var/www" }],
    ["www:12", { uid: 33, gid: 12, additionalGids: [12], home: "/var/www" }],
    ["5000", { uid: 5000, gid: 0, additionalGids: [0] }],
    ["5000:5001", { uid: 5000, gid: 5001, additionalGids: [5001] }],
    ["1000", { uid: 1000, gid: 0, additionalGids: [0] }], // a number is a number, even if somebody is called so
    [":adm", { uid: 0, gid: 4, additionalGids: [4], home: "/root" }],
  ])("%j", (spec, user) => {
    expect(resolveUser(spec, files)).toEqual(user);
  });

  it("with group_add, by name and number", () => {
    expect(resolveUser("5000", files, ["docker", "44", "docker"]).additionalGids).toEqual([0, 999, 44]);
  });

  it("without any files knows numbers and root", () => {
    const none = { passwd: "", group: "" };
    expect(resolveUser("", none)).toEqual({ uid: 0, gid: 0, additionalGids: [0] });
    expect(resolveUser("7:8", none)).toEqual({ uid: 7, gid: 8, additionalGids: [8] });
  });
});

describe("what an image may not bring about", () => {
  it.each(["nobody", "www:nobody", "big", "neg", "2147483648", "-1", "4294967295", "www:99999999999", "www:huge", "0x0", "1e3", " 33"])("refuses %j", (spec) => {
    expect(refusal(() => resolveUser(spec, files))[0]).toBe("container-start-failed");
  });
  it("names who is missing", () => {
    expect(refusal(() => resolveUser("nobody", files))).toEqual(["container-start-failed", 'User "nobody" is not in the image\'s /etc/passwd']);
    expect(refusal(() => resolveUser("www", files, ["video"]))).toEqual(["container-start-failed", 'Group "video" is not in the image\'s /etc/group']);
  });
});
