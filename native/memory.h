#pragma once

#include <memory>

namespace vdistream {

// Keeps memory of `allocate` mapped that contains this address; null for any other memory.
//
// A reference to its buffer is not enough: when an environment ends, Node frees external memory first, whatever refers to it
// (Environment::RunCleanup in Node), and only then runs the hook that ends the threads.
std::shared_ptr<void> mapping_of(const void* address);

}  // namespace vdistream
