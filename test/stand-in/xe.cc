// xe: the thin client of the stand-in toolstack. As the real one it knows no command: it takes out the few parameters that
// are its own, joins the rest with newlines, sends them as one body, prints what comes back and exits with the status it receives.
//
//   to the server    xe LENGTH\n BODY
//   from the server  v greeting, o stdout, e stderr, x exit, k kill yourself; after that byte "LENGTH\n" and so many bytes
//
// The socket is next to the folder of this program, so no environment variable is needed to find it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

using Words = std::vector<std::string>;

static std::string server = "127.0.0.1";
static bool help = false;

static bool is_in(const Words& words, const std::string& word) { return std::find(words.begin(), words.end(), word) != words.end(); }

// What is left of the arguments when those of the client are taken out.
static Words rest_of(const Words& arguments) {
  static const Words own = {"server", "port", "username", "password", "passwordfile", "nossl", "debug", "debugonfail", "traceparent"};
  static const Words pairs = {"-s", "-h", "-p", "-u", "-pw", "-pwf", "--traceparent"};
  static const Words flags = {"--nossl", "--debug", "--debug-on-fail", "-help", "--help"};
  Words rest;
  for (auto word = arguments.begin(); word != arguments.end(); ++word) {
    const size_t equals = word->find('=');
    if (is_in(pairs, *word) && word + 1 != arguments.end()) {
      if (*word == "-s" || *word == "-h") server = word[1];
      ++word;
    } else if (is_in(flags, *word)) {
      help |= *word == "-help" || *word == "--help";
    } else if (equals == std::string::npos || !is_in(own, word->substr(0, equals))) {
      rest.push_back(*word);
    } else if (word->substr(0, equals) == "server") {
      server = word->substr(equals + 1);
    }
  }
  return rest;
}

// $HOME/.xe has a parameter on each line, $XE_EXTRA_ARGS has commas between them, and \, for a comma in one.
static Words split(const std::string& text, char separator) {
  Words words;
  std::string word;
  for (size_t at = 0; at <= text.size(); at++) {
    if (at < text.size() && text[at] == '\\') continue;
    const bool ends = at == text.size() || (text[at] == separator && !(at > 0 && text[at - 1] == '\\'));
    if (!ends) word += text[at];
    else if (!word.empty()) words.push_back(std::exchange(word, ""));
  }
  return words;
}

static Words from_home() {
  const char* home = std::getenv("HOME");
  FILE* file = home ? std::fopen((std::string(home) + "/.xe").c_str(), "r") : nullptr;
  if (!file) return {};
  std::string text(65536, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return split(text, '\n');
}

static FILE* connection() {
  char self[PATH_MAX] = {};
  if (server != "127.0.0.1" && server != "localhost") return nullptr;
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return nullptr;
  std::string folder = self;
  for (int up = 0; up < 2; up++) folder.resize(folder.rfind('/'));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? fdopen(fd, "r+") : nullptr;
}

static int fail(const char* text) {
  std::fprintf(stderr, "%s\n", text);
  return 1;
}

int main(int count, char** values) {
  std::signal(SIGPIPE, SIG_IGN);
  // Each of these may say where the server is; the one that comes later counts.
  const Words home = rest_of(from_home());
  const char* environment = std::getenv("XE_EXTRA_ARGS");
  const Words extra = rest_of(split(environment ? environment : "", ','));
  Words words = rest_of(Words(values + 1, values + count));
  words.insert(words.end(), extra.begin(), extra.end());
  words.insert(words.end(), home.begin(), home.end());
  if (words.empty() || help) {
    fail("Usage: xe <cmd> [-s server] [-p port] ([-u username] [-pw password] or [-pwf <password file>]) <other arguments>");
    return 0;
  }
  FILE* line = connection();
  if (!line) return fail("Error: Connection refused (calling connect )");
  std::string body;
  for (const std::string& word : words) body += (body.empty() ? "" : "\n") + word;
  std::fprintf(line, "xe %zu\n", body.size());
  std::fwrite(body.data(), 1, body.size(), line);
  std::fflush(line);

  for (bool greeted = false;; greeted = true) {
    char what;
    size_t length;
    if (std::fscanf(line, "%c%zu", &what, &length) != 2 || std::fgetc(line) != '\n') {
      return fail(greeted ? "Lost connection to the server." : "Unable to contact server. Please check server and port settings.");
    }
    std::string text(length, '\0');
    if (std::fread(text.data(), 1, length, line) != length) return fail("Lost connection to the server.");
    if (what == 'x') return std::atoi(text.c_str());
    if (what == 'k') std::raise(std::atoi(text.c_str()));
    FILE* stream = what == 'e' ? stderr : stdout;
    if (what == 'o' || what == 'e') std::fwrite(text.data(), 1, length, stream);
    std::fflush(stream);
  }
}
