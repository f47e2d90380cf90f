#pragma once

namespace stack {

/**
 * Lets go of the pages of the program itself: they are the page cache's, and come back as they are
 * needed. For a process that has done its large work and waits from now on: the kernel maps up to
 * sixteen pages around each one that was touched, in the end nearly the whole program.
 */
void release_program_pages();

}  // namespace stack
