{
  "variables": { "asan%": 0 },
  "target_defaults": {
    # -Wno-restrict: GCC 12 finds overlaps in std::string's own operator+ that are not there (GCC bug 105651).
    "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-restrict", "-O2", "-g0"],
    "include_dirs": ["lib"],
    "conditions": [["asan==1", {"cflags": ["-fsanitize=address,undefined"], "ldflags": ["-fsanitize=address,undefined"]}]]
  },
  "targets": [
    {
      "target_name": "stack_native",
      "sources": ["<!@(ls addon/*.cc lib/*.cc)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS"],
      "cflags_cc": ["-fexceptions", "-fvisibility=hidden"]
    },
    {
      "target_name": "stack-runtime",
      "type": "executable",
      "sources": ["<!@(ls runtime/*.cc lib/*.cc)"],
      # Small before fast: every container maps it twice, and it waits for the kernel anyway.
      "cflags!": ["-fPIC"],
      "cflags_cc": ["-Os", "-fno-pie", "-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections"],
      "ldflags": ["-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-s"],
      "libraries": ["-l:libseccomp.a", "-l:libz.a", "-l:libzstd.a"]
    },
    {
      "target_name": "stack",
      "type": "executable",
      "sources": ["launcher/main.cc", "lib/fd.cc", "lib/fs.cc", "lib/result.cc", "runtime/absent_libc.cc", "runtime/format_text.cc", "runtime/small_libc.cc"],
      "cflags!": ["-fPIC"],
      "cflags_cc": ["-Os", "-fno-pie", "-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections"],
      "ldflags": ["-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-s"]
    }
  ]
}
